#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the end-to-end tests with the official Rust client SDK.
#
#   tests/e2e/rust/build.sh
#
# Writes build/e2e/worldline-e2e, worldline-live and, with a newer SDK, worldline-live214. The results are kept in
# ${WORLDLINE_CACHE:-~/.cache/worldline}/e2e, named by a hash of sources, locks and compiler.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$(CDPATH='' cd -- "$here/../../.." && pwd)/build/e2e
cache=${WORLDLINE_CACHE:-$HOME/.cache/worldline}/e2e
programs='worldline-e2e worldline-live worldline-live214'
mkdir -p "$out" "$cache"

cd "$here"
hash=$({ rustc -vV; cat build.sh Cargo.toml Cargo.lock ../rust214/Cargo.toml ../rust214/Cargo.lock
	find src -type f | LC_ALL=C sort | xargs cat; } | sha256sum | cut -c1-24)
for name in $programs; do
	if [ ! -e "$cache/$name-$hash" ]; then
		export CARGO_TARGET_DIR="$out/target"
		nice cargo build --locked
		# Newer crates ask for a newer compiler than they need.
		nice cargo build --locked --ignore-rust-version --manifest-path ../rust214/Cargo.toml
		for built in $programs; do
			cp "$out/target/debug/$built" "$cache/$built.$$"
			mv "$cache/$built.$$" "$cache/$built-$hash"
		done
	fi
	cmp -s "$cache/$name-$hash" "$out/$name" || {
		cp "$cache/$name-$hash" "$out/$name.$$"
		mv "$out/$name.$$" "$out/$name"
	}
done
