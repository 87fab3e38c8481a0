"""Measures servers in turn with wsload, each started anew for each run, and compares the medians.

scripts/bench.sh calls it, and says what it needs.
"""

import argparse
import collections
import csv
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import plot

# What is compared: wsload's name for it, ours, and what it is multiplied with.
CPU = ("server_cpu_us_per_unit", "cpu_us", 1)
P50 = ("latency_p50_us", "p50_ms", 1e-3)
P99 = ("latency_p99_us", "p99_ms", 1e-3)
P99_9 = ("latency_p99_9_us", "p99_9_ms", 1e-3)
LOST = ("lost", "lost", 1)
MEMORY = ("server_rss_per_conn_bytes", "memory_bytes", 1)
FANOUT = [CPU, P50, P99, P99_9, LOST]

# One write for each message, as the others do; with all that is pending in one write where that is what counts.
FLOOR = "limit-server"
COALESCED = "limit-server, coalescing"
ALL = [FLOOR, "rejoin", "axum-broadcast"]

# Deliveries per second, whatever the number of connections.
GROWTH_RATE = 30_000
GROWTH = [100, 300, 1000, 3000, 7500, 15_000]


def works(quick):
    """Each work: its name, wsload's arguments, what is compared, and for which servers."""
    seconds = "1" if quick else "10"

    def fanout(clients, rooms, rate):
        return ["fanout", "--clients", clients, "--rooms", rooms, "--rate", rate, "--duration", seconds]

    yield "fanout-1000", fanout(1000, 1, 40), FANOUT, ALL
    yield "fanout-5000", fanout(5000, 1, 8), FANOUT, ALL
    yield "fanout-5000-in-100-rooms", fanout(5000, 100, 800), FANOUT, ALL
    yield "latency-at-50000-per-s", fanout(1000, 1, 50), FANOUT, ALL
    most = ["fanout-max", "--clients", 1000, "--p99-ms", 100]
    most += ["--step", 1, "--retries", 0, "--precision", 1.5] if quick else []
    yield "fanout-max", most, [("max_delivered_per_s", "per_s", 1), CPU], [FLOOR, COALESCED, "rejoin", "axum-broadcast"]
    echo = ["echo", "--clients", 1000, "--inflight", 1, "--duration", seconds]
    yield "echo-1000", echo, [("round_trips_per_s", "per_s", 1), CPU, P50, P99], ALL
    handshake = [("handshake_p50_us", "p50_ms", 1e-3), ("handshake_p99_us", "p99_ms", 1e-3)]
    connect = ["connect", "--clients", 1000 if quick else 5000]
    yield "connect", connect, [("handshakes_per_s", "per_s", 1), CPU, *handshake], ALL
    yield "churn-500-per-s", ["churn", "--clients", 1000, "--rate", 500, "--duration", seconds], [CPU, *handshake], ALL
    idle = ["idle", "--clients", 2000 if quick else 15_000, "--hold", seconds]
    yield "idle", idle, [MEMORY, ("server_cores", "cores", 1)], ALL
    slow = ["slow", "--clients", 200, "--slow", 20, "--rate", 50, "--size", 16_000, "--duration", seconds]
    slow += ["--resume", 1 if quick else 5]
    figures = [
        ("healthy_p99_us", "p99_without_ms", 1e-3),
        ("burdened_p99_us", "p99_beside_slow_ms", 1e-3),
        ("burdened_lost", "lost", 1),
        ("slow_rss_growth_per_slow_bytes", "memory_per_slow_bytes", 1),
    ]
    yield "slow-members", slow, figures, ALL
    for clients in GROWTH[:3] if quick else GROWTH:
        yield f"growth-{clients}", fanout(clients, 1, GROWTH_RATE / clients), [CPU, MEMORY, P50, P99], ALL


def command(server, args, port):
    """How a server is started."""
    examples = Path(args.wsload or "") / "examples"
    addr = ["--addr", f"127.0.0.1:{port}"]
    return {
        "rejoin": [args.rejoin, *addr],
        FLOOR: [examples / "limit-server", *addr, "--no-coalesce"],
        COALESCED: [examples / "limit-server", *addr],
        "axum-broadcast": [examples / "axum-broadcast", *addr],
    }[server]


class Failed(Exception):
    """A run without a result."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(server, port):
    """Until it accepts."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if server.poll() is not None:
            raise Failed(f"the server ended at once, with status {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed("the server does not listen")


def measure(server, arguments, args):
    """One run: a server started anew, and wsload."""
    port = free_port()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen([str(part) for part in command(server, args, port)], **quiet)
    try:
        wait_for(started, port)
        load = [str(Path(args.wsload) / "wsload"), *map(str, arguments)]
        load += ["--addr", f"127.0.0.1:{port}", "--pid", str(started.pid), "--json"]
        ran = subprocess.run(load, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
        if ran.returncode != 0:
            raise Failed(f"wsload ended with status {ran.returncode}: {ran.stderr.strip()[-500:]}")
        return json.loads(ran.stdout)
    except subprocess.TimeoutExpired as error:
        raise Failed("wsload does not end") from error
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def rows_of(name, clients, figures, servers, runs):
    """The medians of a work, and their ratios to the floor and to axum-broadcast."""
    medians = {}
    for server in servers:
        for key, figure, scale in figures:
            values = [run["results"][key] * scale for run in runs[server] if run["results"].get(key) is not None]
            if values:
                medians[server, figure] = values
    rows = []
    for (server, figure), values in medians.items():
        median = statistics.median(values)

        def ratio(other):
            base = statistics.median(medians.get((other, figure), [0]))
            return round(median / base, 3) if base and other != server else None

        rows.append({
            "work": name,
            "clients": clients,
            "server": server,
            "figure": figure,
            "median": round(median, 4),
            "least": round(min(values), 4),
            "most": round(max(values), 4),
            "rounds": len(values),
            "to_floor": ratio(FLOOR),
            "to_axum": ratio("axum-broadcast"),
        })
    return rows


def table(rows):
    """As Markdown: a row for each figure of a work, a column for each server; in brackets the ratio to the floor."""
    servers = list(dict.fromkeys(row["server"] for row in rows))
    lines = [["work", "figure", *servers, "rejoin to axum"]]
    for work, figure in dict.fromkeys((row["work"], row["figure"]) for row in rows):
        cells, to_axum = [], ""
        for server in servers:
            found = [row for row in rows if (row["work"], row["figure"], row["server"]) == (work, figure, server)]
            if not found:
                cells.append("")
                continue
            row = found[0]
            ratio = f" ({row['to_floor']:.2f})" if row["to_floor"] is not None else ""
            cells.append(number(row["median"]) + ratio)
            if server == "rejoin" and row["to_axum"] is not None:
                to_axum = f"{row['to_axum']:.2f}"
        lines.append([work, figure, *cells, to_axum])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def number(value):
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 1000 and value != int(value) else f"{value:,.0f}"


def arguments():
    parser = argparse.ArgumentParser(description="Measures rejoin beside other servers; see scripts/bench.sh.")
    parser.add_argument("--wsload", help=argparse.SUPPRESS)
    parser.add_argument("--rejoin", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="short runs with fewer connections: to try it, not to quote it")
    parser.add_argument("--rounds", type=int, help="runs of each, in turn; default 3, with --quick 1")
    parser.add_argument("--out", type=Path, default=Path("target/bench"), help="default target/bench")
    parser.add_argument("--list", action="store_true", help="list the works")
    parser.add_argument("work", nargs="*", help="a part of a work's name; default all")
    args = parser.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 1 if args.quick else 3
    if args.rounds < 1:
        parser.error("--rounds has to be at least 1")
    args.works = [work for work in works(args.quick) if not args.work or any(part in work[0] for part in args.work)]
    if not args.works:
        parser.error("no such work: --list lists them")
    return args


def main():
    args = arguments()
    if args.list:
        for name, load, _, _ in args.works:
            print(f"{name}: {' '.join(map(str, load))}")
        return 0
    if not args.wsload or not args.rejoin:
        sys.exit("it is called by scripts/bench.sh")
    rows, runs_of, failures = [], {}, []
    for name, load, figures, servers in args.works:
        runs = {server: [] for server in servers}
        for done in range(args.rounds):
            for server in servers:
                print(f"{name}: round {done + 1} of {args.rounds}, {server}", file=sys.stderr)
                try:
                    runs[server].append(measure(server, load, args))
                except Failed as error:
                    failures.append(f"{name}, {server}: {error}")
                    print(failures[-1], file=sys.stderr)
        rows += rows_of(name, load[load.index("--clients") + 1], figures, servers, runs)
        runs_of[name] = runs

    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["work", "clients", "server", "figure", "median", "least", "most", "rounds", "to_floor", "to_axum"])
        writer.writeheader()
        writer.writerows(rows)
    about = {"rounds": args.rounds, "quick": args.quick, "cpus": os.cpu_count(), "floor": FLOOR}
    (args.out / "results.json").write_text(json.dumps({"about": about, "medians": rows, "runs": runs_of}, indent=1))
    print(table(rows))
    if any(row["work"].startswith("growth-") for row in rows):
        (args.out / "growth.svg").write_text(plot.growth(rows))
        print(f"\n{args.out}/growth.svg")
    notes = [note for runs in runs_of.values() for each in runs.values() for run in each for note in run["notes"]]
    # The same words with other numbers are one note.
    for words, count in collections.Counter(re.sub(r"\d[\d.,]*", "N", note) for note in notes).most_common():
        print(f"NOTE ({count} runs): {words}", file=sys.stderr)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
