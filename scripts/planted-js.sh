#!/usr/bin/env bash
# Plants each one-line mistake of tests/vectors/client/js/mutants.json in the npm package, and prints the vector that finds
# it. Fails when a mistake survives, or when its line no longer exists. NAME selects by parts of names. All take half a minute.
#
#   scripts/planted-js.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")/.."
exec node tests/vectors/client/js/mutants.mjs "$@"
