#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The quickest look at everything at work: builds, starts a host on an empty folder, publishes the sample module, and
# lets the official TypeScript client call a reducer and show the rows that arrive. Leaves nothing behind.
#
#   tools/run-quickstart.sh           the network is used for package registries only
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
worldline=build/dev/worldline
client=examples/quickstart/client
database=quickstart
work=
host=

say() { echo "==> $*"; }
fail() {
	echo "run-quickstart: $*" >&2
	[ -z "$work" ] || [ ! -s "$work/host.log" ] || { echo "the host's output:" >&2; tail -n 30 "$work/host.log" >&2; }
	exit 1
}
stop() {
	[ -z "$host" ] || { kill "$host" 2>/dev/null && wait "$host" 2>/dev/null; } || true
	host=
}
leave() {
	status=$?
	trap - EXIT
	stop
	[ -z "$work" ] || rm -rf "$work"
	exit $status
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "building the host"
make -j"$(nproc)" --no-print-directory build/dev/worldline

say "building the sample module (examples/quickstart/module)"
tests/modules/build.sh quickstart

installed=$client/node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ "$client/package-lock.json" -nt "$installed" ]; then
	say "installing the client's packages ($client)"
	(cd "$client" && npm ci --no-audit --no-fund --loglevel=error)
fi

work=$(mktemp -d)
export XDG_CONFIG_HOME="$work/config" # a cli.toml of its own: no token of the user's is touched
say "starting a host on an empty folder"
"$worldline" start --data-dir "$work/data" --jwt-key-dir "$work/data" --listen-addr 127.0.0.1:0 --non-interactive \
	>"$work/host.log" 2>&1 &
host=$!
url=
tries=0
while [ -z "$url" ]; do
	url=$(sed -n 's,.*Starting SpacetimeDB listening on \([^ ]*\).*,http://\1,p' "$work/host.log" | head -n 1)
	kill -0 "$host" 2>/dev/null || fail "the host ended while starting"
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || fail "the host did not start within 30 seconds"
	[ -n "$url" ] || sleep 0.1
done
say "it listens on $url"

say "publishing the module as \"$database\""
"$worldline" publish --server "$url" --bin-path build/modules/quickstart.wasm --yes --no-config "$database" ||
	fail "the module could not be published"

for name in Ada Grace; do
	say "running the client: it subscribes to the table, calls add(\"$name\") and shows what arrives"
	(cd "$client" && npm start --silent -- "$url" "$database" "$name") || fail "the client failed"
done

say "the same rows through SQL"
"$worldline" sql --server "$url" --anonymous --no-config "$database" 'SELECT * FROM person' 2>/dev/null ||
	fail "the query failed"

say "stopping the host"
kill "$host"
wait "$host" || fail "the host ended with status $?"
host=
say "done"
