"""The work resume-storm: what it costs the server that all sessions lose their sockets at once and come back within a second, beside
what it cost to connect them."""

from load import loadtest
from servers import REJOIN, started

# The first dial leaves after half of the backoff or more, by chance: all have dialled a second after the cut.
CUT = ["--away", 0, "--backoff", 1]
# Nothing else happens: what it costs is the cut and the resume.
ALONE = ["--no-publish", "--echoes", 0]
# Each client sends some frames while it is away, and each room is published to all the time.
BUSY = ["--rooms", 100, "--rate", 100]

FIGURES = [
    ("handshake_cpu_us", "handshake_cpu_us", 1),
    ("resume_cpu_us", "resume_cpu_us", 1),
    ("resume_to_handshake_ratio", "resume_to_handshake_ratio", 1),
    ("all_back_after_seconds", "all_back_after_s", 1),
    ("back_p99_us", "back_p99_ms", 1e-3),
    ("sessions_lost", "sessions_lost", 1),
    ("frames", "frames", 1),
    ("frames_lost", "frames_lost", 1),
    ("frames_repeated", "frames_repeated", 1),
    ("errors", "errors", 1),
]


def measure(clients, commands, program):
    """A run: a server started anew for the handshakes, for the storm alone, and for the storm amid messages."""

    def against_new(work, *options):
        with started(commands[REJOIN]) as server:
            return loadtest(program, [work, "--clients", clients, *options], server)

    connect = against_new("connect")
    alone = against_new("resume-storm", *CUT, *ALONE)
    busy = against_new("resume-storm", *CUT, *BUSY)
    all_runs = [connect["results"], alone["results"], busy["results"]]
    of_alone, of_busy = all_runs[1:]
    handshake, resume = connect["results"]["server_cpu_us_per_handshake"], of_alone.get("server_cpu_us_per_client")
    kinds = ["published", "echoes"]
    results = {
        "handshake_cpu_us": handshake,
        "resume_cpu_us": resume,
        "resume_to_handshake_ratio": resume / handshake if resume and handshake else None,
        "all_back_after_seconds": of_alone["all_back_after_seconds"],
        "back_p99_us": of_alone["back"]["p99_us"],
        "sessions_lost": sum(run["sessions_lost"] + run["not_back"] for run in (of_alone, of_busy)),
        "frames": sum(of_busy[f"{kind}_once"] for kind in kinds),
        "frames_lost": sum(of_busy[f"{kind}_lost"] for kind in kinds),
        "frames_repeated": sum(of_busy[f"{kind}_repeated"] for kind in kinds),
        "errors": sum(run["errors"] for run in all_runs),
    }
    notes = [note for run in (connect, alone, busy) for note in run["notes"]]
    return {"results": results, "notes": notes, "parts": {"connect": connect, "alone": alone, "busy": busy}}
