#!/usr/bin/env bash
# Checks that a million messages, ten thousand reconnects and ten thousand sessions leak nothing. Takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
REJOIN_SOAK="${REJOIN_SOAK:-10}" cargo test --release -p rejoin-tests --test resources -- leaks
