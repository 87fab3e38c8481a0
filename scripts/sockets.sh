#!/usr/bin/env bash
# Runs crowds of real clients against real servers, over sockets that fail in every way, for the given number of minutes (default 5),
# several crowds at once. Starts from a seed derived from the date, and stops when a crowd breaks a promise. It then prints the promise
# and leaves the history in target/crowds. The operating system's scheduling does not repeat, so the seed alone does not replay it.
#
#     scripts/sockets.sh [MINUTES [FIRST]]
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-5}
first=${2:-$(date +%Y%m%d)000000}
# Each client takes four descriptors, and half-open sockets take some more.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
cargo build --quiet --release -p rejoin-tests --bin crowds
nice cargo run --quiet --release -p rejoin-tests --bin crowds -- --minutes "$minutes" --at-once "$((4 * $(nproc)))" --from "$first"
