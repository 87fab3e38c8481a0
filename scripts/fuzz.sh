#!/usr/bin/env bash
# Fuzzes each target, or the named ones, for the given number of seconds (default 60):
#   scripts/fuzz.sh [SECONDS] [TARGET...]
# Needs nightly Rust; installs cargo-fuzz into the target folder if it is missing. Starts from the inputs in fuzz/corpus and those of
# earlier runs, in fuzz/scratch. Inputs that fail are left in fuzz/artifacts.
#   scripts/fuzz.sh --keep [TARGET...]
# replaces the unnamed inputs in fuzz/corpus by those in fuzz/scratch that reach code of their own. Named inputs stay.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(scripts/target_dir.sh)/cargo-fuzz
command -v cargo-fuzz >/dev/null || export PATH="$tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo +nightly install --quiet cargo-fuzz --locked --root "$tools"

seconds=60
keep=
case "${1-}" in
    --keep) keep=1; shift ;;
    [0-9]*) seconds=$1; shift ;;
esac
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)

# rejoin has no unsafe code, and without the address sanitizer the same time covers several times as many inputs.
for target in "${targets[@]}"; do
    echo "== $target"
    python3 scripts/fuzz_corpus.py unpack "fuzz/corpus/$target.txt" "fuzz/scratch/$target"
    if [ -n "$keep" ]; then
        # Minimize by edges alone, not by hit counts: this keeps a tenth of the inputs.
        cargo +nightly fuzz cmin --sanitizer none "$target" "fuzz/scratch/$target" -- -use_counters=0
        python3 scripts/fuzz_corpus.py pack "fuzz/corpus/$target.txt" "fuzz/scratch/$target"
    else
        cargo +nightly fuzz run --sanitizer none "$target" "fuzz/scratch/$target" -- \
            -max_total_time="$seconds" -timeout=10 -max_len=4096 -len_control=10 -print_final_stats=1
    fi
done
