#!/usr/bin/env bash
# Prints the folder in which cargo builds: `target`, or what CARGO_TARGET_DIR or `build.target-dir` says.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
