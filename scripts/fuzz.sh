#!/usr/bin/env bash
# Fuzzes each target, or those that are named, for so many seconds (default 60):
#   scripts/fuzz.sh [SECONDS] [TARGET...]
# Needs nightly Rust; installs cargo-fuzz into the target folder where it is missing. It begins with the inputs in fuzz/corpus and goes
# on with those of earlier runs, in fuzz/scratch. What breaks something is left in fuzz/artifacts.
#   scripts/fuzz.sh --keep [TARGET...]
# writes those in fuzz/scratch that reach something of their own to fuzz/corpus: the named ones there stay, the others are replaced.
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

# No code of ours is unsafe: without the address sanitizer the same time sees several times as much.
for target in "${targets[@]}"; do
    echo "== $target"
    python3 scripts/fuzz_corpus.py unpack "fuzz/corpus/$target.txt" "fuzz/scratch/$target"
    if [ -n "$keep" ]; then
        # By edges alone, not by how often each is passed: a tenth of the inputs.
        cargo +nightly fuzz cmin --sanitizer none "$target" "fuzz/scratch/$target" -- -use_counters=0
        python3 scripts/fuzz_corpus.py pack "fuzz/corpus/$target.txt" "fuzz/scratch/$target"
    else
        cargo +nightly fuzz run --sanitizer none "$target" "fuzz/scratch/$target" -- \
            -max_total_time="$seconds" -timeout=10 -max_len=4096 -len_control=10 -print_final_stats=1
    fi
done
