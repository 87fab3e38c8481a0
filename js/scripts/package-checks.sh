#!/usr/bin/env bash
# Checks the package as npm would publish it: the size of its tarball, the types of every entry in every mode of resolution
# (attw), its manifest (publint), and that Node imports and requires every entry. Needs the build in `dist`.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly LIMIT=61440 # bytes

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm pack --silent --pack-destination "$folder" >/dev/null
tarball=$(echo "$folder"/*.tgz)
size=$(stat -c %s "$tarball")
echo "tarball: $size bytes (at most $LIMIT)"
[ "$size" -le "$LIMIT" ]

npx --no-install attw "$tarball" --format ascii --no-emoji >"$folder/attw" || { cat "$folder/attw"; exit 1; }
messages=$(npx --no-install publint run "$tarball" --strict)
case $messages in *"All good!"*) ;; *) echo "$messages"; exit 1 ;; esac
echo "attw, publint: no problem"

mkdir -p "$folder/node_modules/rejoin"
tar -xzf "$tarball" -C "$folder/node_modules/rejoin" --strip-components=1
ln -s "$PWD/node_modules/react" "$folder/node_modules/react"
cp scripts/smoke.mjs "$folder"
node "$folder/smoke.mjs"
