#!/usr/bin/env python3
"""Counts the functions, files and wrappers of the walks in docs/walk.md, and checks the page against the code.

    scripts/walk.py                # checks, and prints the counts
    scripts/walk.py PAGE ROOT      # the same for another page, with the sources of another folder

Needs Python 3.9 or later and only the standard library.
"""

import re
import sys
from functools import lru_cache
from pathlib import Path

CRATES = ("core", "codecs", "server", "client")
LINE = re.compile(r"(?P<indent> *)(?P<name>[\w:]+) +(?P<file>\S+\.rs)(?: +via `(?P<via>[^`]+)`)?(?: +in (?P<types>[\w, ]+))?$")


class Wrong(Exception):
    """The page does not match the code."""


def blank(text):
    """The source with comments, strings and character literals replaced by spaces, so that offsets stay the same."""
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\[^\n]+?|[^\\'\n])'", re.DOTALL
    )
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def block(code, at):
    """The span of the first braces that open at or after `at`, or None if a `;` comes first."""
    opens = code.find("{", at)
    ends = code.find(";", at)
    if opens < 0 or 0 <= ends < opens and code.count("(", at, ends) == code.count(")", at, ends):
        return None
    depth = 0
    for brace in re.compile("[{}]").finditer(code, opens):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return opens, brace.end()
    return None


@lru_cache(maxsize=None)
def bodies(code, name):
    """The bodies of the functions of this name: `f` outside any `impl`, `T::f` in the `impl`s of or for `T`."""
    owner, _, function = name.rpartition("::")
    spans = []
    if owner:
        for found in re.finditer(r"^ *(?:unsafe )?(?:impl|(?:pub(?:\(\w+\))? )?trait)\b([^{;]*)", code, re.MULTILINE):
            # `impl T<A>`, `impl dyn T`, `impl A for T`, `impl T for A`, `trait T: A`
            head = re.split(r"\bwhere\b", re.sub(r"^\s*<.*?>\s+(?=\w|<)", " ", found[1]))[0]
            if any(re.match(rf"\s*(?:dyn )?(?:\w+::)*{re.escape(owner)}\b", part) for part in re.split(r"\bfor\b", head)):
                spans.append(block(code, found.start()))
    else:
        inside = [block(code, found.start()) for found in re.finditer(r"^(?:unsafe )?impl\b", code, re.MULTILINE)]
        whole = list(code)
        for begin, end in filter(None, inside):
            whole[begin:end] = re.sub(r"[^\n]", " ", code[begin:end])
        code = "".join(whole)
        spans.append((0, len(code)))
    found = []
    for begin, end in filter(None, spans):
        for match in re.finditer(rf"\bfn {re.escape(function)}\b", code[begin:end]):
            body = block(code, begin + match.end())
            if body and body[1] <= end:
                found.append(body)
    return found


class Sources:
    """The source files below a folder, each read once."""

    def __init__(self, root):
        self.root = root
        self.read = {}
        self.types = set()
        for crate in CRATES:
            for path in sorted((root / crate / "src").rglob("*.rs")):
                text = path.read_text(encoding="utf-8")
                self.types.update(re.findall(r"^ *(?:pub(?:\([^)]*\))? )?(?:struct|enum|type|trait) (\w+)", text, re.MULTILINE))

    def text(self, file):
        return (self.root / file).read_text(encoding="utf-8")

    def code(self, file):
        key = str(file)
        if key not in self.read:
            if not (self.root / file).is_file():
                raise Wrong(f"{file} does not exist")
            self.read[key] = blank(self.text(file))
        return self.read[key]

    def check_call(self, caller, callee, via):
        """Whether one function calls another by name, or passes data to it through the code quoted by `via`."""
        file, name = caller
        called = callee[1].rpartition("::")[2]
        for begin, end in bodies(self.code(file), name):
            if via and via in self.text(file)[begin:end]:
                return True
            if not via and re.search(rf"\b{re.escape(called)}(?:::<[^>]*>)?\(", self.code(file)[begin:end]):
                return True
        return False


def walks(page):
    """The walks of a page by name, each a list of (depth, function, file, via, types)."""
    found = {}
    for name, text in re.findall(r"^```walk (\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        steps = []
        for line in text.splitlines():
            step = LINE.fullmatch(line)
            if not step:
                raise Wrong(f"walk {name}: not understood: {line.strip()}")
            types = [kind.strip() for kind in (step["types"] or "").split(",") if kind.strip()]
            steps.append((len(step["indent"]) // 2, step["name"], step["file"], step["via"], types))
        found[name] = steps
    if not found:
        raise Wrong("the page has no walk")
    return found


def count(name, steps, sources):
    """Checks a walk against the code, and returns its numbers of functions, files and wrappers."""
    callers = []
    types = set()
    for depth, function, file, via, holds in steps:
        here = f"walk {name}: {function} in {file}"
        if not bodies(sources.code(file), function):
            raise Wrong(f"{here} does not exist")
        if depth > len(callers) or (depth == 0) != (not types and not callers):
            raise Wrong(f"{here} is indented by more than one step, or begins another walk")
        del callers[depth:]
        if callers and not sources.check_call(callers[-1], (file, function), via):
            how = f"through `{via}`" if via else "by its name"
            raise Wrong(f"{here} is not called by {callers[-1][1]} {how}")
        callers.append((file, function))
        for kind in holds:
            if kind not in sources.types:
                raise Wrong(f"{here}: there is no type {kind}")
            types.add(kind)
    functions = {(file, function) for _, function, file, _, _ in steps}
    return len(functions), len({file for file, _ in functions}), len(types)


def main(arguments):
    here = Path(__file__).resolve().parent.parent
    page = Path(arguments[0]) if arguments else here / "docs/walk.md"
    root = Path(arguments[1]) if len(arguments) > 1 else here
    text = page.read_text(encoding="utf-8")
    try:
        sources = Sources(root)
        counts = {name: count(name, steps, sources) for name, steps in walks(text).items()}
        for name, counted in counts.items():
            print("{}: {} functions, {} files, {} wrappers".format(name, *counted))
        for name, counted in counts.items():
            row = re.search(rf"^\| {name} \| (\d+) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
            if not row or tuple(map(int, row.groups())) != counted:
                raise Wrong(f"walk {name}: the table has other counts than {counted}")
    except Wrong as wrong:
        print(f"{page.name}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
