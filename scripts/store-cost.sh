#!/usr/bin/env bash
# Measures what a store costs per input: the CPU time of rejoin-testserver with and without one, in turn. benches/README.md has figures.
# Three rounds take two minutes.
#
#   scripts/store-cost.sh [--rounds N] [--seconds N]
set -euo pipefail
cd "$(dirname "$0")/.."

ulimit -n "$(ulimit -Hn)"
cargo build --release -p rejoin-tests --bin rejoin-testserver -p rejoin-loadtest --bin rejoin-loadtest
target=$(scripts/target_dir.sh)/release
exec python3 benches/store.py --testserver "$target/rejoin-testserver" --loadtest "$target/rejoin-loadtest" "$@"
