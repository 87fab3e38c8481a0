#!/usr/bin/env bash
# Runs the scenarios of the model, each in many orders of its steps (docs/concurrency.md, "The model"): two minutes for all of
# them, after the first build. Prints the file of a schedule that fails.
#
#   scripts/model.sh                                  # all of them
#   scripts/model.sh --runs 100000 --seed 7 room      # those with `room` in their names, longer, other orders
#   scripts/model.sh --replay FILE NAME               # the schedule that failed, on the same code
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(scripts/target_dir.sh)
failures=$target/model/failures
mkdir -p "$failures"
runs=3000 seed=1
while [ $# -gt 0 ]; do
    case $1 in
        --runs) runs=$2 && shift 2 ;;
        --seed) seed=$2 && shift 2 ;;
        --replay) export REJOIN_MODEL_REPLAY=$2 && shift 2 ;;
        *) break ;;
    esac
done
export REJOIN_MODEL_RUNS=$runs REJOIN_MODEL_SEED=$seed REJOIN_MODEL_FAILURES=$failures
export RUST_BACKTRACE=${RUST_BACKTRACE-0}

names=()
for name; do names+=("$name"); done
[ "${#names[@]}" -gt 0 ] || names=(scenarios::)
RUSTFLAGS="--cfg rejoin_model" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_TARGET_DIR=$target/model \
    cargo test -q -p rejoin-server --lib -- "${names[@]}"

# Orderings of memory: all of them that are possible, so there is nothing to choose or to repeat.
[ "${names[0]}" != scenarios:: ] || RUSTFLAGS="--cfg rejoin_loom" CARGO_TARGET_DIR=$target/loom \
    cargo test -q -p rejoin-core --features drive --lib loom_tests
