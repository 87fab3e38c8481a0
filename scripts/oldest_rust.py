#!/usr/bin/env python3
"""Names the crates in Cargo.lock that need a newer Rust than this workspace does (`rust-version` in Cargo.toml).

With a version as its argument, those that need a newer one than that.
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
    packages = json.loads(subprocess.check_output(command, cwd=root))["packages"]
    newer = [
        f"{package['name']} {package['version']} needs Rust {package['rust_version']}"
        for package in packages
        if package["rust_version"] and version(package["rust_version"]) > version(oldest)
    ]
    if newer:
        print(*newer, sep="\n")
        sys.exit(f"the oldest Rust is {oldest}: `cargo update -p CRATE --precise VERSION` chooses an older version")
    print(f"none of {len(packages)} crates needs a newer Rust than {oldest}")


main()
