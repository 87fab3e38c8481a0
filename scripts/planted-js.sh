#!/usr/bin/env bash
# Plants each one-line mistake of tests/vectors/client/js/mutants.json in the JavaScript client, and says which vector finds
# it; fails when one survives, or when its line is no longer there. Parts of names choose among them. Ten seconds for all.
#
#   scripts/planted-js.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")/.."
exec node tests/vectors/client/js/mutants.mjs "$@"
