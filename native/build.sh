#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds libworldline_native.a and collects the headers that go with it.
#
#   native/build.sh [OUT]      OUT (default build/native) receives lib/ and include/
#
# The result is kept in ${WORLDLINE_CACHE:-~/.cache/worldline}/native-HASH, where HASH covers the
# sources here and the compiler, so that a fresh clone need not compile again. NATIVE_TARGET_DIR
# names cargo's working folder (default OUT/target).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=${1:-$here/../build/native}
mkdir -p "$out"
out=$(CDPATH='' cd -- "$out" && pwd)
target=${NATIVE_TARGET_DIR:-$out/target}
cache=${WORLDLINE_CACHE:-$HOME/.cache/worldline}

cd "$here"
hash=$({ rustc -vV; cat Cargo.toml Cargo.lock build.sh src/*.rs; } | sha256sum | cut -c1-24)
kept=$cache/native-$hash

exec 9>"$out/lock"
flock 9

if [ "$(cat "$out/stamp" 2>/dev/null)" = "$hash" ] && [ -e "$out/lib/libworldline_native.a" ]; then
	touch "$out/lib/libworldline_native.a" # newer than any source, for make
	exit 0
fi

# Writes wasmtime/conf.h: a feature is defined when Cargo.toml asks for it.
write_conf() { # FROM TO
	features=$(sed -n 's/^wasmtime-c-api-impl .*features = \[\(.*\)\].*/\1/p' Cargo.toml |
		tr -d '" ' | tr ',-' ' _' | tr '[:lower:]' '[:upper:]')
	awk -v list="$features" '
		BEGIN { n = split(list, name, " "); for (i = 1; i <= n; i++) on["WASMTIME_FEATURE_" name[i]] = 1 }
		$1 == "#cmakedefine" { print (($2 in on) ? "#define " $2 : "/* #undef " $2 " */"); next }
		{ print }' "$1" >"$2"
}

if [ ! -e "$kept/lib/libworldline_native.a" ]; then
	CARGO_TARGET_DIR=$target nice cargo build --release --locked
	headers=$(cargo metadata --locked --format-version 1 |
		grep -o '"manifest_path":"[^"]*/wasmtime-c-api-impl-[^"]*/Cargo.toml"' |
		head -n 1 | sed 's/^"manifest_path":"//; s,/Cargo.toml"$,,')/include
	mkdir -p "$cache"
	fresh=$(mktemp -d "$cache/native-new.XXXXXX")
	trap 'rm -rf "$fresh"' EXIT
	chmod 755 "$fresh"
	mkdir "$fresh/lib"
	cp -R "$headers" "$fresh/include"
	write_conf "$headers/wasmtime/conf.h.in" "$fresh/include/wasmtime/conf.h"
	rm -f "$fresh/include/wasmtime/conf.h.in"
	cp "$target/release/libworldline_native.a" "$fresh/lib/"
	# Another build may have finished first; then theirs is as good as ours.
	mv -T "$fresh" "$kept" 2>/dev/null || [ -e "$kept/lib/libworldline_native.a" ]
fi

mkdir -p "$out/lib"
rm -rf "$out/stamp" "$out/include.new"
cp -R "$kept/include" "$out/include.new"
cp "$kept/lib/libworldline_native.a" "$out/lib/libworldline_native.a.new"
rm -rf "$out/include"
mv "$out/include.new" "$out/include"
mv "$out/lib/libworldline_native.a.new" "$out/lib/libworldline_native.a"
echo "$hash" >"$out/stamp"
