#!/usr/bin/env bash
# Crowds of real clients at real servers, over sockets that fail in every way, for so many minutes (default 5), some at once,
# from a seed of today's, until one breaks a promise. It says which and leaves what happened in target/crowds; what the
# operating system and its threads do is never the same again, so the seed alone does not replay it.
#
#     scripts/sockets.sh [MINUTES [FIRST]]
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-5}
first=${2:-$(date +%Y%m%d)000000}
# Each client takes four descriptors, and what is left half open some more.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
cargo build --quiet --release -p rejoin-tests --bin crowds
nice cargo run --quiet --release -p rejoin-tests --bin crowds -- --minutes "$minutes" --at-once "$((4 * $(nproc)))" --from "$first"
