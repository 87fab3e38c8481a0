#!/usr/bin/env python3
"""Names the crates in Cargo.lock that need a newer Rust than this workspace does (`rust-version` in Cargo.toml).

With a version as its argument, those that need a newer one than that. A crate of the workspace may declare a newer Rust for itself;
what only such a crate needs is compared with that.
"""

import json
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent


def version(text):
    """The version as three numbers: 1.88 is 1.88.0."""
    numbers = [int(number) for number in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def main():
    declared = re.search(r'^rust-version = "(.+)"', (root / "Cargo.toml").read_text(), re.MULTILINE)
    oldest = sys.argv[1] if len(sys.argv) > 1 else declared[1]
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.check_output(command, cwd=root))
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {node["id"]: node["dependencies"] for node in metadata["resolve"]["nodes"]}
    members = metadata["workspace_members"]
    own = {key for key in members if version(packages[key]["rust_version"] or declared[1]) > version(declared[1])}

    def reachable(begin, never):
        """What these crates need, but for what only the others in `never` do."""
        found, waiting = set(), list(begin)
        while waiting:
            key = waiting.pop()
            if key not in found and key not in never:
                found.add(key)
                waiting += needs[key]
        return found

    groups = [(oldest, reachable(set(members) - own, own))]
    groups += [(max(oldest, packages[key]["rust_version"], key=version), reachable([key], own - {key})) for key in own]
    newer = sorted({
        f"{packages[key]['name']} {packages[key]['version']} needs Rust {packages[key]['rust_version']}"
        for limit, keys in groups
        for key in keys
        if packages[key]["rust_version"] and version(packages[key]["rust_version"]) > version(limit)
    })
    if newer:
        print(*newer, sep="\n")
        sys.exit(f"the oldest Rust is {oldest}: `cargo update -p CRATE --precise VERSION` chooses an older version")
    print(f"none of {len(packages)} crates needs a newer Rust than {oldest}")


main()
