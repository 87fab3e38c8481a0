#!/usr/bin/env bash
# The checks of a release in addition to .ci/run (ten minutes): every combination of features, TLS with other roots, licences and sources of
# dependencies, the oldest Rust, the packages.
#   scripts/release-checks.sh
#   BASELINE=v0.1.0 scripts/release-checks.sh   compares the public API with that commit, too
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
published=(-p rejoin-core -p rejoin-codecs -p rejoin-store -p rejoin-client -p rejoin-server) # rejoin-store-local needs a newer Rust

missing=0
need() {
    local name=$1 install=$2
    shift 2
    "$@" >/dev/null 2>&1 || { echo "$name is missing: $install" && missing=1; }
}
need cargo-hack "cargo install --locked cargo-hack" cargo hack --version
need cargo-deny "cargo install --locked cargo-deny" cargo deny --version
need "Rust $oldest" "rustup toolchain install $oldest --profile minimal" cargo "+$oldest" --version
[ -z "${BASELINE:-}" ] ||
    need cargo-semver-checks "cargo install --locked cargo-semver-checks" cargo semver-checks --version
[ "$missing" = 0 ] || exit 1

step cargo hack check --feature-powerset --no-dev-deps "${published[@]}"
for roots in "" rustls-tls-manual-roots rustls-tls-native-roots; do # the tests of `wss`, each with roots of its own
    step cargo test -p rejoin-client --no-default-features --features "$roots" --test it tls
done
step cargo deny --locked check bans licenses sources
step scripts/oldest_rust.py
step cargo "+$oldest" check --locked --all-features "${published[@]}"
[ -z "${BASELINE:-}" ] || step cargo semver-checks --baseline-rev "$BASELINE" "${published[@]}"
step cargo package --locked "${published[@]}"

packages=$(scripts/target_dir.sh)/package
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for crate in "${published[@]}"; do
    [ "$crate" != -p ] || continue
    for file in README.md LICENSE-APACHE LICENSE-MIT; do
        tar -tzf "$packages/$crate-$version.crate" "$crate-$version/$file" >/dev/null ||
            { echo "$crate-$version.crate has no $file" && exit 1; }
    done
done
