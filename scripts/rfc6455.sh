#!/usr/bin/env bash
# Runs the Autobahn cases 1 to 10 against an echo server built on rejoin-server. Each must pass or be at worst non-strict.
# Cases 12 and 13 are about compression, which rejoin does not offer.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(scripts/target_dir.sh)
runner=$target/kosoku
[ -d "$runner/kosoku" ] || python3 -m pip install --quiet --disable-pip-version-check --target "$runner" kosoku==0.1.0
cargo build --quiet -p rejoin-tests --bin rejoin-echo

log=$(mktemp)
# `cargo run` replaces itself with the program, wherever it was built.
cargo run --quiet -p rejoin-tests --bin rejoin-echo -- 127.0.0.1:0 </dev/null 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
until port=$(sed -n 's/^READY://p' "$log") && [ -n "$port" ]; do
    kill -0 "$server" || { cat "$log"; exit 1; }
    sleep 0.05
done

# The runner's exit status does not distinguish failed from non-strict cases, so read its reports.
reports=$target/rfc6455
rm -rf "$reports"
PYTHONPATH=$runner timeout 300 python3 -c 'import sys; from kosoku._cli import main; sys.exit(main())' \
    -m fuzzingclient -x '12.*' -x '13.*' -p 2 -o "$reports" "ws://127.0.0.1:$port" </dev/null >"$reports.log" 2>&1 ||
    true
kill -0 "$server" || { echo "the server has ended"; cat "$log"; exit 1; }

python3 - "$reports" <<'PY'
import collections, glob, json, sys

cases = [json.load(open(name)) for name in glob.glob(f"{sys.argv[1]}/*case*.json")]
counts = collections.Counter(case["behavior"] for case in cases)
failed = sorted(case["id"] for case in cases if case["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL"))
print("RFC 6455 conformance:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
if len(cases) < 290:
    sys.exit(f"only {len(cases)} cases were run, see {sys.argv[1]}.log")
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
PY
