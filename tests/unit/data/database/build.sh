#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles the guest module of the database's tests.
#
#   build.sh OUT      needs clang and wasm-ld; rebuilds only when a source is newer
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$1
mkdir -p "$out"

if [ -e "$out/database.wasm" ] && [ -z "$(find "$here" "$here/../runtime/abi.h" -type f -newer "$out/database.wasm")" ]
then
	exit 0
fi
clang --target=wasm32 -O2 -nostdlib -ffreestanding -Wno-int-to-pointer-cast -Wno-pointer-to-int-cast \
	-Wno-unused-function -Wl,--no-entry -Wl,-z,stack-size=65536 -Wl,--stack-first -Wl,--strip-all \
	-o "$out/database.wasm.$$" "$here/guest.c"
mv "$out/database.wasm.$$" "$out/database.wasm"
