#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the end-to-end tests with the official Rust client SDK.
#
#   tests/e2e/rust/build.sh
#
# Writes build/e2e/worldline-e2e. The result is kept in ${WORLDLINE_CACHE:-~/.cache/worldline}/e2e,
# named by a hash of sources, lock and compiler.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$(CDPATH='' cd -- "$here/../../.." && pwd)/build/e2e
cache=${WORLDLINE_CACHE:-$HOME/.cache/worldline}/e2e
mkdir -p "$out" "$cache"

cd "$here"
hash=$({ rustc -vV; cat build.sh Cargo.toml Cargo.lock; find src -type f | LC_ALL=C sort | xargs cat; } |
	sha256sum | cut -c1-24)
kept=$cache/worldline-e2e-$hash
if [ ! -e "$kept" ]; then
	CARGO_TARGET_DIR=$out/target nice cargo build --locked
	cp "$out/target/debug/worldline-e2e" "$kept.$$"
	mv "$kept.$$" "$kept"
fi
cmp -s "$kept" "$out/worldline-e2e" || {
	cp "$kept" "$out/worldline-e2e.$$"
	mv "$out/worldline-e2e.$$" "$out/worldline-e2e"
}
