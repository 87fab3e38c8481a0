#!/usr/bin/env bash
# Measures rejoin-testserver and at least two other servers in turn, and prints medians and ratios; benches/README.md says how to read
# them. Takes about three quarters of an hour on a quiet machine.
#
#     WSLOAD=DIR scripts/bench.sh [--quick] [--rounds N] [--out DIR] [--also NAME=COMMAND]... [WORK...]
#
# DIR contains wsload, and DIR/examples contains limit-server and axum-broadcast. WORK selects works by a part of their name; --list
# lists them. --also adds a server, started as COMMAND --addr HOST:PORT. Writes results.json, results.csv and growth.svg to
# target/bench, or to the folder of --out.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in *" --list "* | *" --help "* | *" -h "*) exec python3 benches/compare.py "$@" ;; esac

if [ -z "${WSLOAD-}" ]; then
    echo "WSLOAD is not set: expected the folder with wsload, examples/limit-server and examples/axum-broadcast" >&2
    exit 2
fi
for program in wsload examples/limit-server examples/axum-broadcast; do
    [ -x "$WSLOAD/$program" ] || { echo "WSLOAD: $WSLOAD/$program is missing or not executable" >&2; exit 2; }
done
ulimit -n "$(ulimit -Hn)"
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 16000 ]; then
    echo "15,000 connections need 16,000 descriptors, and the limit is $(ulimit -n): raise the hard limit of ulimit -n" >&2
    exit 2
fi

# Builds a program and prints its path.
built() {
    cargo build --quiet --release --message-format=json -p "$1" --bin "$2" | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message.get("executable"):
        print(message["executable"])'
}
testserver=$(built rejoin-tests rejoin-testserver)
loadtest=$(built rejoin-loadtest rejoin-loadtest)
exec python3 benches/compare.py --wsload "$WSLOAD/wsload" --examples "$WSLOAD/examples" \
    --rejoin "$testserver" --loadtest "$loadtest" "$@"
