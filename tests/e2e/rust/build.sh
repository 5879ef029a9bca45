#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the end-to-end tests with the official Rust client SDK.
#
#   tests/e2e/rust/build.sh
#
# Writes build/e2e/worldline-e2e and worldline-live. The results are kept in ${WORLDLINE_CACHE:-~/.cache/worldline}/e2e,
# named by a hash of sources, lock and compiler.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$(CDPATH='' cd -- "$here/../../.." && pwd)/build/e2e
cache=${WORLDLINE_CACHE:-$HOME/.cache/worldline}/e2e
mkdir -p "$out" "$cache"

cd "$here"
hash=$({ rustc -vV; cat build.sh Cargo.toml Cargo.lock; find src -type f | LC_ALL=C sort | xargs cat; } |
	sha256sum | cut -c1-24)
if [ ! -e "$cache/worldline-e2e-$hash" ] || [ ! -e "$cache/worldline-live-$hash" ]; then
	CARGO_TARGET_DIR=$out/target nice cargo build --locked
	for name in worldline-e2e worldline-live; do
		cp "$out/target/debug/$name" "$cache/$name.$$"
		mv "$cache/$name.$$" "$cache/$name-$hash"
	done
fi
for name in worldline-e2e worldline-live; do
	cmp -s "$cache/$name-$hash" "$out/$name" || {
		cp "$cache/$name-$hash" "$out/$name.$$"
		mv "$out/$name.$$" "$out/$name"
	}
done
