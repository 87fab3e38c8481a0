#!/usr/bin/env bash
# A million messages, ten thousand reconnects and ten thousand sessions: what they cost comes back. Some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
REJOIN_SOAK="${REJOIN_SOAK:-10}" cargo test --release -p rejoin-tests --test resources -- leaks
