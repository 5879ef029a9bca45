#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the project is built and tested with, on Debian 12. Run it as root; it asks
# nothing, and does nothing when all is there.
set -eu

packages='
	gcc clang lld make pkg-config git ca-certificates curl
	libssl-dev zlib1g-dev libzstd-dev libbrotli-dev libxxhash-dev libcurl4-openssl-dev
	check valgrind libclang-rt-14-dev clang-format
	rustc-web cargo-web rust-web-src
	nodejs npm python3'

# A Node or npm from elsewhere serves as well as Debian's.
wanted=
for package in $packages; do
	case $package in
	nodejs) command -v node >/dev/null 2>&1 && continue ;;
	npm) command -v npm >/dev/null 2>&1 && continue ;;
	git | curl | make | python3) command -v "$package" >/dev/null 2>&1 && continue ;;
	esac
	wanted="$wanted $package"
done

present=" $(dpkg-query -W -f='${db:Status-Abbrev}${Package} ' $wanted 2>/dev/null || true) "
missing=
for package in $wanted; do
	case $present in
	*" ii $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
if [ -z "$missing" ]; then
	exit 0
fi

if [ "$(id -u)" != 0 ]; then
	echo "setup: not root; please install:$missing" >&2
	exit 1
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null
