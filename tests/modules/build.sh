#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a Rust module to WebAssembly.
#
#   tests/modules/build.sh NAME ...     a folder here, or `quickstart` for examples/quickstart/module
#
# Writes build/modules/NAME.wasm. The compiler is Debian's (packages rustc-web, cargo-web,
# rust-web-src, lld), which builds std for the target on the way. Results are kept in
# ${WORLDLINE_CACHE:-~/.cache/worldline}/modules, named by a hash of sources, lock and compiler.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
out=$root/build/modules
cache=${WORLDLINE_CACHE:-$HOME/.cache/worldline}/modules
mkdir -p "$out" "$cache"

build() { # NAME
	name=$1
	source=$here/$name
	[ "$name" = quickstart ] && source=$root/examples/quickstart/module
	if [ ! -f "$source/Cargo.toml" ]; then
		echo "build.sh: no module named $name" >&2
		return 1
	fi
	cd "$source"
	src=$(sed -n 's,^path = "\(.*\)/[^/]*"$,\1,p' Cargo.toml)
	hash=$({ /usr/bin/rustc -vV; cat "$here/build.sh" Cargo.toml Cargo.lock; find "${src:-src}" -type f |
		LC_ALL=C sort | xargs cat; } | sha256sum | cut -c1-24)
	kept=$cache/$name-$hash.wasm
	if [ ! -e "$kept" ]; then
		# Newer crates ask for a newer compiler than they need.
		PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='' \
			CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld CARGO_TARGET_DIR="$out/target" \
			nice /usr/bin/cargo build --release --locked --ignore-rust-version \
			-Zbuild-std=std,panic_abort --target wasm32-unknown-unknown
		cp "$out/target/wasm32-unknown-unknown/release/$name.wasm" "$kept.$$"
		mv "$kept.$$" "$kept"
	fi
	cmp -s "$kept" "$out/$name.wasm" || {
		cp "$kept" "$out/$name.wasm.$$"
		mv "$out/$name.wasm.$$" "$out/$name.wasm"
	}
}

for name in "$@"; do
	(build "$name")
done
