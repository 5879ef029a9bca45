#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds what is measured and what measures, then prints the table: `make bench`.
# Arguments go to bench/run.py (--help).
set -eu
cd "$(dirname -- "$0")/.."
floor=${FLOOR:-../shared/floor/floor.c}
targets="build/release/worldline build/release/bench/load build/release/bench/inproc
	build/release/bench/query_bench build/release/bench/guest_bench build/release/bench/guest.wasm
	build/release/bench/guest_alone"
[ -f "$floor" ] && targets="$targets build/release/bench/floor"
# shellcheck disable=SC2086
make --no-print-directory FLAVOR=release FLOOR="$floor" $targets
tests/modules/build.sh transfer work
exec python3 bench/run.py "$@"
