#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles the guest modules of the runtime's tests.
#
#   build.sh OUT      needs clang and wasm-ld; rebuilds only when a source here is newer
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$1
mkdir -p "$out"

if [ -e "$out/stamp" ] && [ -z "$(find "$here" -type f -newer "$out/stamp")" ]; then
	exit 0
fi

module() { # NAME SOURCE FLAG…
	name=$1 source=$2
	shift 2
	clang --target=wasm32 -O2 -nostdlib -ffreestanding -Wno-int-to-pointer-cast -Wno-pointer-to-int-cast \
		-Wno-unused-function -Wl,--no-entry -Wl,-z,stack-size=65536 -Wl,--stack-first \
		-Wl,--strip-all "$@" -o "$out/$name.wasm.$$" "$here/$source"
	mv "$out/$name.wasm.$$" "$out/$name.wasm"
}

large=-Wl,--initial-memory=2097152
module script script.c $large
module script_reducers script.c $large -DNO_PROCEDURES

module plain start.c
module order start.c -DORDER
module preinit_trap start.c '-DPREINIT=__builtin_trap()'
module preinit_null start.c '-DPREINIT=identity(0)'
module preinit_loop start.c '-DPREINIT=for(;;)LOG("")'
module preinit_tx start.c '-DPREINIT=if(procedure_start_mut_tx(1024)==0)LOG("began")'
module preinit_commit start.c '-DPREINIT=procedure_start_mut_tx(1024);procedure_commit_mut_tx()'
module setup_error start.c '-DSETUP=sink_put(sink,"not \377today",10);return 1'
module setup_code start.c '-DSETUP=return 7'
module describe_trap start.c '-DDESCRIBE=__builtin_trap()'
module handler_old start.c -DHANDLER_OLD
module handler_new start.c -DHANDLER_NEW

# Refused ones.
module no_imports start.c -DNO_IMPORTS
module malformed start.c '-DIMPORT_MODULE="spacetime_10.x"' '-DIMPORT_NAME="get_jwt"'
module two_majors start.c '-DIMPORT_MODULE="spacetime_10.0"' '-DIMPORT_NAME="get_jwt"' \
	'-DIMPORT_MODULE_2="spacetime_9.0"'
module newer start.c '-DIMPORT_MODULE="spacetime_10.7"' '-DIMPORT_NAME="get_jwt"'
module other_major start.c '-DIMPORT_MODULE="spacetime_11.0"' '-DIMPORT_NAME="get_jwt"'
module wrong_version start.c '-DIMPORT_MODULE="spacetime_10.0"' '-DIMPORT_NAME="get_jwt"'
module wrong_type start.c '-DIMPORT_MODULE="spacetime_10.0"' '-DIMPORT_NAME="console_log"'
module foreign start.c '-DIMPORT_MODULE="spacetime_10.0"' '-DIMPORT_NAME="console_timer_start"' \
	'-DIMPORT_MODULE_2="wasi_snapshot_preview1"'
module no_reducer start.c -DNO_REDUCER
module reducer_wrong start.c -DREDUCER_WRONG
module preinit_argument start.c -DPREINIT_ARGUMENT
module handler_wrong start.c -DHANDLER_WRONG

touch "$out/stamp"
