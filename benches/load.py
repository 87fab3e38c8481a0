"""Load generators, run against a server that was started: wsload against any, rejoin-loadtest against rejoin's own session mode."""

import json
import subprocess

from servers import Failed

# Longer than any work takes, by far.
TIMEOUT = 600


def wsload(program, arguments, server):
    """What wsload says: `results`, by name, and `notes`."""
    ran = run([program, *map(str, arguments), "--addr", server.addr, "--pid", str(server.pid), "--json"], server)
    ran["results"]["server_peak_rss_bytes"] = server.peak_memory()
    return ran


def loadtest(program, arguments, server):
    """What rejoin-loadtest says: `results`, by name, and `notes`."""
    work, *options = map(str, arguments)
    url = f"ws://{server.addr}/ws?room={{room}}&id={{client}}"
    return run([program, work, url, *options, "--pid", str(server.pid), "--json"], server)


def run(command, server):
    name = command[0].rsplit("/", 1)[-1]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{name} does not end") from error
    server.check()
    if ran.returncode != 0:
        raise Failed(f"{name} ended with status {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return json.loads(ran.stdout)
