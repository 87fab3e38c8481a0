#!/usr/bin/env bash
# The crate rejoin-server contains the built package as one file, so that a build with cargo needs no npm. The build has just written
# it: fails when the committed file is another one.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly FILE=server/src/script/rejoin.js
if [ -n "$(git status --porcelain -- "$FILE")" ]; then
    echo "$FILE is out of date: commit the one that js/build.mjs has written" >&2
    exit 1
fi
