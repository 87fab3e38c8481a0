#!/usr/bin/env bash
# Repeatedly kills a program with `kill -9`, at random times, while it commits to a directory, and checks after each kill that
# no acknowledged commit is missing or duplicated. 500 kills take five minutes.
#
#   scripts/store-kills.sh          # 500 kills
#   scripts/store-kills.sh 5000
set -euo pipefail
cd "$(dirname "$0")/.."

REJOIN_KILLS=${1:-500} RUST_BACKTRACE=${RUST_BACKTRACE-0} \
    cargo test -q -p rejoin-store-local --all-features --test kills -- --nocapture
