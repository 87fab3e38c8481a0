#!/usr/bin/env bash
# Simulations of real servers and clients over lines in memory, for as long as there is time: full schedules and small ones,
# from a seed of today's, until one breaks a promise. What is printed then replays it.
#
#     scripts/simulate.sh [SEEDS_OF_EACH [FIRST]]
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-100000}
first=${2:-$(date +%Y%m%d)000000}
cargo build --quiet --release -p rejoin-tests --bin simulate
nice cargo run --quiet --release -p rejoin-tests --bin simulate -- --seeds "$seeds" --from "$first"
nice cargo run --quiet --release -p rejoin-tests --bin simulate -- --seeds "$seeds" --from "$first" --small
