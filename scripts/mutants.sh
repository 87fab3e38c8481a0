#!/usr/bin/env bash
# Plants a sample of small mistakes in the code (operators, numbers, conditions, statements, whole bodies), one at a time, and
# shows which of them the tests find. All are compiled into one build in target/mutants, each behind a switch: this takes a minute or
# two, then about a second per mutant.
#
#   scripts/mutants.sh --seed 7 --sample 300
#   scripts/mutants.sh --only core/src/ws --only codecs/ --sample 0     # all of these
#   scripts/mutants.sh --mutant 'core/src/ws/mask.rs:31'                # those of one line
set -euo pipefail
cd "$(dirname "$0")/.."
exec nice cargo run -q -p rejoin-mutants -- "$@"
