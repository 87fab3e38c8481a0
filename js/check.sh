#!/usr/bin/env bash
# Builds the npm package, and checks its types, its behaviour and its size. Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")"
# A hash of the lock file tells whether the packages are those of this checkout.
lock=$(sha256sum package-lock.json)
if [ "$(cat node_modules/.lock-hash 2>/dev/null)" != "$lock" ]; then
    npm ci --no-audit --no-fund --loglevel=error
    echo "$lock" >node_modules/.lock-hash
fi
npm run --silent build
npm run --silent typecheck
npm test --silent
node scripts/size.mjs
scripts/package-checks.sh
node scripts/check-docs.mjs
for gate in scripts/check-*.sh; do
    [ -e "$gate" ] || continue
    "$gate"
done
