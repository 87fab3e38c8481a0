#!/usr/bin/env bash
# Prints cargo's build folder: `target`, or the value of CARGO_TARGET_DIR or `build.target-dir`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
