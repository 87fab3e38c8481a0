"""Measures servers in turn, each started anew for each run, and compares the medians.

scripts/bench.sh calls it, and says what it needs.
"""

import argparse
import collections
import csv
import json
import os
import re
import sys
from pathlib import Path

import plot
from servers import FLOOR, Failed, commands, named
from table import COLUMNS, rows_of, table
from works import works


def also(text):
    try:
        return named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments():
    parser = argparse.ArgumentParser(description="Measures rejoin beside other servers; see scripts/bench.sh.")
    parser.add_argument("--wsload", help=argparse.SUPPRESS)
    parser.add_argument("--examples", help=argparse.SUPPRESS)
    parser.add_argument("--rejoin", help=argparse.SUPPRESS)
    parser.add_argument("--loadtest", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="short runs with fewer connections: to try it, not to quote it")
    parser.add_argument("--rounds", type=int, help="runs of each, in turn; default 3, with --quick 1")
    parser.add_argument("--out", type=Path, default=Path("target/bench"), help="default target/bench")
    parser.add_argument(
        "--also",
        metavar="NAME=COMMAND",
        type=also,
        action="append",
        default=[],
        help="another server, measured in the same turns: started as COMMAND --addr HOST:PORT; may be given several times",
    )
    parser.add_argument("--list", action="store_true", help="list the works")
    parser.add_argument("work", nargs="*", help="a part of a work's name; default all")
    args = parser.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 1 if args.quick else 3
    if args.rounds < 1:
        parser.error("--rounds has to be at least 1")
    if len({name for name, _ in args.also}) < len(args.also):
        parser.error("--also: two servers have the same name")
    args.works = [work for work in works(args.quick) if not args.work or any(part in work.name for part in args.work)]
    if not args.works:
        parser.error("no such work: --list lists them")
    return args


class Results:
    """What was measured so far."""

    def __init__(self, args):
        self.args = args
        self.rows, self.runs_of, self.failures = [], {}, []

    def measure(self, work, how):
        """All rounds of a work."""
        others = [name for name, _ in self.args.also] if work.others else []
        runs = {server: [] for server in [*work.servers, *others]}
        for done in range(self.args.rounds):
            for server in runs:
                print(f"{work.name}: round {done + 1} of {self.args.rounds}, {server}", file=sys.stderr)
                try:
                    runs[server].append(work.measure(server, how, self.args))
                except Failed as error:
                    self.failures.append((work.name, server, str(error)))
                    print(f"{work.name}, {server}: {error}", file=sys.stderr)
        self.rows += rows_of(work, runs)
        self.runs_of[work.name] = runs

    def save(self):
        """What is there, into files."""
        out = self.args.out
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "results.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        about = {"rounds": self.args.rounds, "quick": self.args.quick, "cpus": os.cpu_count(), "floor": FLOOR}
        failures = [dict(zip(("work", "server", "why"), failure)) for failure in self.failures]
        results = {"about": about, "medians": self.rows, "failures": failures, "runs": self.runs_of}
        (out / "results.json").write_text(json.dumps(results, indent=1))

    def show(self):
        print(table(self.rows, [failure[:2] for failure in self.failures]))
        if any(row["work"].startswith("growth-") for row in self.rows):
            (self.args.out / "growth.svg").write_text(plot.growth(self.rows))
            print(f"\n{self.args.out}/growth.svg")
        notes = [note for runs in self.runs_of.values() for each in runs.values() for run in each for note in run["notes"]]
        # The same words with other numbers are one note.
        for words, count in collections.Counter(re.sub(r"\d[\d.,]*", "N", note) for note in notes).most_common():
            print(f"NOTE ({count} times): {words}", file=sys.stderr)
        for work, server, why in self.failures:
            print(f"FAILED: {work}, {server}: {why}", file=sys.stderr)


def main():
    args = arguments()
    if args.list:
        for work in args.works:
            print(f"{work.name}: {work.load}")
        return 0
    if not all((args.wsload, args.examples, args.rejoin, args.loadtest)):
        sys.exit("it is called by scripts/bench.sh")
    how = commands(args.rejoin, args.examples, args.also)
    results = Results(args)
    for work in args.works:
        results.measure(work, how)
        # After each: it takes long, and may be interrupted.
        results.save()
    results.show()
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
