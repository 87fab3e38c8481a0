#!/usr/bin/env bash
# Simulates real servers and clients over lines in memory: full schedules, small ones, then trials of one danger each. Starts from a
# seed derived from the date, and stops when a run breaks a promise. It then prints the command that replays the run.
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
# Trials take longer: floods are long, and runtimes run in real time.
for trial in haste memory runtimes flood frames pace questions newcomers stores handover; do
    simulate --seeds "$((seeds / 50 + 1))" --trial "$trial"
done
