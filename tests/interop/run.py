#!/usr/bin/env python3
"""Runs the conformance scenarios against a test server binary. See README.md."""

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import scenarios  # noqa: E402,F401  (registers them)
from harness import SCENARIOS, Context, Failed, Farm, Skipped  # noqa: E402


def main():
    options = arguments()
    chosen = [function for function in SCENARIOS if options.only in function.__name__]
    if options.list:
        for function in chosen:
            print(function.__name__)
        return 0
    if not options.server:
        sys.exit("--server PATH is required")
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    farm = Farm(options.server)
    passed = failed = 0
    try:
        for function in chosen:
            outcome = run_one(farm, function, seed, options.verbose)
            passed += outcome == "ok"
            failed += outcome == "FAIL"
    finally:
        farm.stop()
    for line in [line for server in farm.all for line in server.panics()]:
        print(f"FAIL the_server_never_panics: {line}")
        failed += 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", metavar="PATH", help="the test server's binary")
    parser.add_argument("--only", metavar="SUBSTR", default="", help="run the scenarios whose name contains this")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the random choices of an earlier run")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each failure")
    return parser.parse_args()


def run_one(farm, function, seed, verbose):
    """Returns `ok`, `skip` or `FAIL`, and prints the line for it."""
    context = Context(farm, function.__name__, seed)
    started = time.monotonic()
    why = skipped = None
    try:
        function(context)
    except Skipped as reason:
        skipped = str(reason)
    except Exception as error:  # Any error is a failure of this scenario.
        why = explain(error)
        if verbose:
            traceback.print_exc(file=sys.stdout)
    finally:
        context.close()
    for server in context.used:
        try:
            server.check_alive()
        except Exception as error:
            farm.forget(server)
            why = f"{why + '; ' if why else ''}the server is not healthy afterwards: {error}"
    if why:
        print(f"FAIL {function.__name__}: {why}", flush=True)
        return "FAIL"
    if skipped:
        print(f"skip {function.__name__}: {skipped}", flush=True)
        return "skip"
    print(f"ok {function.__name__} {time.monotonic() - started:.2f}s", flush=True)
    return "ok"


def explain(error):
    """The error on one line, with the line of the scenario that raised it."""
    places = [entry for entry in traceback.extract_tb(error.__traceback__) if "scenarios" in entry.filename]
    where = f" [{Path(places[-1].filename).name}:{places[-1].lineno}]" if places else ""
    kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
    return f"{kind}{error}{where}".replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
