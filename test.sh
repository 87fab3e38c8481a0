#!/usr/bin/env bash
# Installs missing Debian packages that the tests need, and runs all tests.
set -euo pipefail
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin # Debian installs nginx and HAProxy there

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v python3 >/dev/null || missing+=(python3)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
command -v chromium >/dev/null || missing+=(chromium)
command -v firefox-esr >/dev/null || missing+=(firefox-esr)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v protoc >/dev/null || missing+=(protobuf-compiler)
for python in python3 /usr/bin/python3; do "$python" -c 'import google.protobuf' 2>/dev/null && break; done ||
    missing+=(python3-protobuf)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
fi

cargo test --workspace --all-features
scripts/model.sh
js/check.sh
scripts/planted-js.sh
cargo build -p rejoin-tests --bin rejoin-testserver
REJOIN_TESTSERVER=$(scripts/target_dir.sh)/debug/rejoin-testserver
export REJOIN_TESTSERVER
node js/scripts/cuts.mjs --cuts 300
node js/scripts/browsers.mjs --cuts 50
node js/scripts/shared-tabs.mjs --kills 5
scripts/rfc6455.sh
