#!/usr/bin/env python3
"""Converts a fuzz target's corpus: one text file in the repository, a folder with a file per input for the fuzzer.

In the text each input is a line: printable ASCII verbatim, any other byte and the backslash as \\xNN. A line that begins with
"# " names the failure that the next input once caused; such an input is always kept.

    fuzz_corpus.py unpack TEXT FOLDER
    fuzz_corpus.py pack TEXT FOLDER
"""

import hashlib
import pathlib
import re
import sys


def escape(data):
    line = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in data)
    # Escapes a leading # (not a name), and spaces at either end (editors trim them).
    return re.sub("^#|^ | $", lambda match: f"\\x{ord(match[0]):02x}", line)


def unescape(line):
    return re.sub(rb"\\x(..)", lambda match: bytes.fromhex(match[1].decode()), line.encode())


def read(text):
    """The inputs, each with the failure that it once caused, or None."""
    inputs, name = {}, None
    for line in text.read_text().splitlines() if text.exists() else []:
        if line.startswith("# "):
            name = line
        else:
            inputs[unescape(line)] = name
            name = None
    return inputs


def main(verb, text, folder):
    text, folder = pathlib.Path(text), pathlib.Path(folder)
    inputs = read(text)
    if verb == "unpack":
        folder.mkdir(parents=True, exist_ok=True)
        for data in inputs:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    elif verb == "pack":
        named = {data: name for data, name in inputs.items() if name}
        found = {path.read_bytes() for path in folder.iterdir()} - set(named)
        lines = [line for data, name in named.items() for line in (name, escape(data))]
        # An empty input would be an empty line, and every run tries it first anyway.
        lines += sorted(escape(data) for data in found if data)
        text.write_text("".join(line + "\n" for line in lines))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 4 else sys.exit(__doc__)
