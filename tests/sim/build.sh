#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles the simulator's module, both versions.
#
#   build.sh OUT      needs clang and wasm-ld; rebuilds only when a source is newer
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
include=$here/../../include
out=$1
mkdir -p "$out"

if [ -e "$out/sim2.wasm" ] && [ -z "$(find "$here" "$include" -type f -newer "$out/sim2.wasm")" ]
then
	exit 0
fi
for version in 1 2
do
	clang --target=wasm32 -mbulk-memory -ffreestanding -nostdlib -std=c11 -O2 -DVERSION=$version -I"$include" \
		-Wl,--no-entry -Wl,--gc-sections -Wl,-z,stack-size=65536 -Wl,--stack-first -Wl,--strip-all \
		-o "$out/sim$version.wasm.$$" "$here/module/module.c" "$include"/worldline/*.c
	mv "$out/sim$version.wasm.$$" "$out/sim$version.wasm"
done
