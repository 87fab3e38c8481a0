"""What a store costs per input: the CPU time of rejoin-testserver with and without one, in turn. scripts/store-cost.sh runs it."""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile

# 1,000 clients in rooms of 10. Each input is broadcast to its sender's room.
CLIENTS = ["-n", "1000", "--rooms", "100", "--echo-event", "pub"]
# The next input of a client follows its last one: up to 1,000 are under way. Or 4,000 per second: few are.
LOADS = {"closed loop": [], "4,000/s": ["--rate", "4000"]}
MODES = {"process": [], "store": ["--durability", "commit"]}


def run(options, mode, load):
    """One run with a server of its own. Returns the CPU time per input in µs, and inputs per second."""
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        store = ["--store", f"local:{directory}/store"] if mode == "store" else []
        command = [options.testserver, "--send-buffer", "1024", *store, *MODES[mode]]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            ready = next(filter(None, (re.match(r"READY:(\d+):", line) for line in server.stderr)), None)
            if ready is None:
                raise SystemExit(f"{' '.join(command)}: did not start")
            url = f"ws://127.0.0.1:{ready[1]}/ws?room=r{{room}}&id=c{{client}}-{{run}}"
            load = [*CLIENTS, *LOADS[load], "-d", str(options.seconds), "--pid", str(server.pid), "--json"]
            output = subprocess.run([options.loadtest, "echo", url, *load], stdout=subprocess.PIPE, check=True)
        finally:
            server.terminate()
            server.wait()
    results = json.loads(output.stdout)
    results = results.get("results", results)
    return results["server_cpu_us_per_round_trip"], results["round_trips_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--testserver", required=True)
    parser.add_argument("--loadtest", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--directory", help="where stores are; default: the one for temporary files")
    options = parser.parse_args()
    for load in LOADS:
        costs = {mode: [] for mode in MODES}
        for _ in range(options.rounds):
            for mode in MODES:
                cost, rate = run(options, mode, load)
                costs[mode].append(cost)
                print(f"{load:12} {mode:8} {cost:7.2f} µs/input {rate:8.0f}/s   load {os.getloadavg()[0]:.1f}", flush=True)
        median = {mode: statistics.median(costs[mode]) for mode in MODES}
        more = median["store"] - median["process"]
        print(f"{load:12} median   {median['process']:7.2f} µs, with the store {median['store']:.2f} µs: {more:+.2f} µs\n", flush=True)


if __name__ == "__main__":
    main()
