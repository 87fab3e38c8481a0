#!/usr/bin/env bash
# Simulations of real servers and clients over lines in memory, for as long as there is time: full schedules and small ones,
# then trials of one danger each, from a seed of today's, until one breaks a promise. What is printed then replays it.
#
#     scripts/simulate.sh [SEEDS_OF_EACH [FIRST]]
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-100000}
first=${2:-$(date +%Y%m%d)000000}
cargo build --quiet --release -p rejoin-tests --bin simulate
simulate() { nice cargo run --quiet --release -p rejoin-tests --bin simulate -- --from "$first" "$@"; }
simulate --seeds "$seeds"
simulate --seeds "$seeds" --small
# They take longer: floods are long, and other runtimes live in real time.
for trial in haste memory runtimes flood frames pace; do
    simulate --seeds "$((seeds / 50 + 1))" --trial "$trial"
done
