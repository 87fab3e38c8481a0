"""What is measured: each work's load, its figures, and the servers that it is for."""

import dataclasses
from collections.abc import Callable

import storm
from load import wsload
from servers import ALL, AXUM, COALESCED, FLOOR, REJOIN, started

# What is compared: the load generator's name for it, ours, and what it is multiplied with.
CPU = ("server_cpu_us_per_unit", "cpu_us", 1)
P50 = ("latency_p50_us", "p50_ms", 1e-3)
P99 = ("latency_p99_us", "p99_ms", 1e-3)
P99_9 = ("latency_p99_9_us", "p99_9_ms", 1e-3)
LOST = ("lost", "lost", 1)
MEMORY = ("server_rss_per_conn_bytes", "memory_bytes", 1)
FANOUT = [CPU, P50, P99, P99_9, LOST]
HANDSHAKE = [("handshake_p50_us", "p50_ms", 1e-3), ("handshake_p99_us", "p99_ms", 1e-3)]
SLOW = [
    ("healthy_p99_us", "p99_without_ms", 1e-3),
    ("burdened_p99_us", "p99_beside_slow_ms", 1e-3),
    ("burdened_to_healthy_p99", "p99_ratio", 1),
    ("burdened_lost", "lost", 1),
    ("lost_during", "disconnected", 1),
    ("slow_rss_growth_per_slow_bytes", "memory_per_slow_bytes", 1),
    ("server_peak_rss_bytes", "peak_memory_mib", 2**-20),
]

# Deliveries per second, whatever the number of connections.
GROWTH_RATE = 30_000
GROWTH = [100, 300, 1000, 3000, 7500, 15_000]


@dataclasses.dataclass
class Work:
    """Something that is measured."""

    name: str
    # For people.
    load: str
    clients: int
    figures: list
    servers: list
    # Of a server by its name, the commands of all, and the programs: a run's results and notes.
    measure: Callable
    # Whether servers that the command line adds are measured, too.
    others: bool = True


def of_wsload(name, arguments, figures, servers=ALL):
    def measure(server, commands, programs):
        with started(commands[server]) as running:
            ran = wsload(programs.wsload, arguments, running)
        healthy, burdened = (ran["results"].get(f"{window}_p99_us") for window in ("healthy", "burdened"))
        if healthy and burdened:
            ran["results"]["burdened_to_healthy_p99"] = burdened / healthy
        return ran

    clients = arguments[arguments.index("--clients") + 1]
    return Work(name, " ".join(map(str, arguments)), clients, figures, servers, measure)


def of_storm(clients):
    def measure(_, commands, programs):
        return storm.measure(clients, commands, programs.loadtest)

    load = f"rejoin-loadtest: connect, and resume-storm alone and amid messages, --clients {clients}"
    return Work("resume-storm", load, clients, storm.FIGURES, [REJOIN], measure, others=False)


def works(quick):
    """All of them, in their order."""
    seconds = 1 if quick else 10

    def fanout(clients, rooms, rate):
        return ["fanout", "--clients", clients, "--rooms", rooms, "--rate", rate, "--duration", seconds]

    yield of_wsload("fanout-1000", fanout(1000, 1, 40), FANOUT)
    yield of_wsload("fanout-5000", fanout(5000, 1, 8), FANOUT)
    yield of_wsload("fanout-5000-in-100-rooms", fanout(5000, 100, 800), FANOUT)
    yield of_wsload("latency-at-50000-per-s", fanout(1000, 1, 50), FANOUT)
    most = ["fanout-max", "--clients", 1000, "--p99-ms", 100]
    most += ["--step", 1, "--retries", 0, "--precision", 1.5] if quick else []
    yield of_wsload("fanout-max", most, [("max_delivered_per_s", "per_s", 1), CPU], [FLOOR, COALESCED, REJOIN, AXUM])
    echo = ["echo", "--clients", 1000, "--inflight", 1, "--duration", seconds]
    yield of_wsload("echo-1000", echo, [("round_trips_per_s", "per_s", 1), CPU, P50, P99])
    connect = ["connect", "--clients", 1000 if quick else 5000]
    yield of_wsload("connect", connect, [("handshakes_per_s", "per_s", 1), CPU, *HANDSHAKE])
    churn = ["churn", "--clients", 1000, "--rate", 500, "--duration", seconds]
    yield of_wsload("churn-500-per-s", churn, [CPU, *HANDSHAKE])
    idle = ["idle", "--clients", 2000 if quick else 15_000, "--hold", seconds]
    yield of_wsload("idle", idle, [MEMORY, ("server_cores", "cores", 1)])
    # The kernel takes some 4 MB for each that does not read before the server sees it: in a short run they have to come faster.
    slow = ["slow", "--clients", 100, "--slow", 10, "--rate", 150] if quick else ["slow", "--clients", 200, "--slow", 20, "--rate", 50]
    slow += ["--size", 16_000, "--duration", seconds, "--resume", 1 if quick else 5]
    yield of_wsload("slow-members", slow, SLOW)
    yield of_storm(3000 if quick else 10_000)
    for clients in GROWTH[:3] if quick else GROWTH:
        yield of_wsload(f"growth-{clients}", fanout(clients, 1, GROWTH_RATE / clients), [CPU, MEMORY, P50, P99])
