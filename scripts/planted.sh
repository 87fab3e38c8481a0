#!/usr/bin/env bash
# Applies each bug of tests/planted/ to a copy of the tree and prints the test that finds it. Fails when a bug survives, or when its
# patch no longer applies. Arguments select bugs by parts of names. --check only checks that the patches apply.
#
#   scripts/planted.sh                    # all of them: about a quarter of an hour
#   scripts/planted.sh takeover server-
#   scripts/planted.sh --check            # a second
set -uo pipefail
cd "$(dirname "$0")/.."

check=
[ "${1-}" != --check ] || { check=1 && shift; }

patches=()
for patch in tests/planted/*.patch; do
    name=$(basename "$patch" .patch)
    chosen=$([ $# -gt 0 ] || echo yes)
    for part; do [[ $name != *"$part"* ]] || chosen=yes; done
    [ -z "$chosen" ] || patches+=("$PWD/$patch")
done
[ "${#patches[@]}" -gt 0 ] || { echo "no such bug: $*" && exit 2; }

if [ -n "$check" ]; then
    stale=0
    for patch in "${patches[@]}"; do
        git apply --check "$patch" || { echo "no longer applies: $(basename "$patch")" && stale=1; }
    done
    exit "$stale"
fi

# Copy with fresh time stamps, or Cargo would consider the build of an earlier bug up to date.
tree=$PWD/target/planted/tree
export CARGO_TARGET_DIR=$PWD/target/planted/build
rm -rf "$tree" && mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -xm -C "$tree"
# The copy lies inside a repository without belonging to it.
export GIT_CEILING_DIRECTORIES=$PWD/target/planted
cd "$tree" || exit 2

# Runs tests until the first one fails, and prints its name, or how else the run failed. Fails when all pass.
run() {
    local failed status
    failed=$(timeout 600 cargo test -q --no-run "$@" </dev/null 2>&1) || { echo "NOT COMPILED: $failed" && return; }
    # grep exits at the first failure, which ends the test harness too.
    failed=$(
        timeout 300 cargo test "$@" </dev/null 2>/dev/null |
            grep -oPm1 '^test \K\S+(?=.* \.\.\. FAILED$)'
        exit "${PIPESTATUS[0]}"
    )
    status=$?
    case "$failed:$status" in
        :0) return 1 ;;
        :124) echo "a run that does not end" ;;
        :*) echo "a run that fails outside its tests" ;;
        *) echo "$failed" ;;
    esac
}

# The tests that should find a bug, the quickest first. They print the one that did.
core() { run -p rejoin-core --all-features --lib "$@"; }
memory() { run -p rejoin-tests --test memory --test contract; }
foreign() { run -p rejoin-tests --test foreign_code; }
logging() { run -p rejoin-tests --test logging; }
extractor() { run -p rejoin-tests --test http extractor; }
# The model, with --cfg rejoin_model or rejoin_loom: a separate build.
model() {
    local cfg=$1
    shift
    RUSTFLAGS="--cfg rejoin_$cfg" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_TARGET_DIR=$CARGO_TARGET_DIR/$cfg \
        REJOIN_MODEL_RUNS=3000 run "$@"
}
trials() { run -p rejoin-tests --test simulation -- --skip schedules --skip the_same_seed; }
find_it() {
    # A patch can be marked as being for the model only: other tests would find it by chance, or not at all.
    case "$(sed -n 2p "$1")" in
        'Found by a scenario.')
            model model -p rejoin-server --lib scenarios::
            return
            ;;
        'Found by loom.')
            model loom -p rejoin-core --features drive --lib loom
            return
            ;;
    esac
    case "$(grep -m1 '^+++ b/' "$1")" in
        *b/core/*)
            core -- --skip session::tests::walk --skip session::tests::random ||
                core -- session::tests::random || core -- session::tests::walk || memory || foreign || trials
            ;;
        *b/codecs/*) run -p rejoin-codecs --all-features --lib ;;
        *b/store/*) run -p rejoin-store --all-features --lib --tests ;;
        *b/store-local/*) run -p rejoin-store-local --all-features --lib --test conformance || run -p rejoin-store-local --test directory --test progress ;;
        *b/client/*) run -p rejoin-client --all-features --lib --tests || memory || trials ;;
        *b/server/*) run -p rejoin-server --lib || memory || foreign || logging || extractor || trials ;;
        *) memory ;;
    esac
}

# A test that fails without a bug proves nothing, so check that all pass first.
for kind in '^+++ b/core/' '^+++ b/client/' '^+++ b/server/' '^+++ b/store/' '^+++ b/store-local/' '^Found by a scenario' '^Found by loom'; do
    for patch in "${patches[@]}"; do
        grep -q "$kind" "$patch" || continue
        ! found=$(find_it "$patch") || { echo "with no bug planted: $found" && exit 2; }
        break
    done
done

table=() failed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    if ! git apply "$patch"; then
        verdict="no longer applies" failed=1
    else
        if found=$(find_it "$patch"); then
            verdict="killed by $found"
            case "$found" in "NOT COMPILED"*) verdict=$found failed=1 ;; esac
        else
            verdict=SURVIVED failed=1
        fi
        git apply -R "$patch" || exit 2
    fi
    printf '%s: %s\n' "$name" "$verdict"
    table+=("$(printf '%-45s %s' "$name" "${verdict%%$'\n'*}")")
done

printf '\n%s\n' "${#table[@]} planted bugs"
printf '%s\n' "${table[@]}"
exit "$failed"
