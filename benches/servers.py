"""Servers under test: how each is started, and what it has cost in memory."""

import contextlib
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

REJOIN = "rejoin"
# One write for each message, as the others do; with all that is pending in one write where that is what counts.
FLOOR = "limit-server"
COALESCED = "limit-server, coalescing"
AXUM = "axum-broadcast"
ALL = [FLOOR, REJOIN, AXUM]


class Failed(Exception):
    """A run without a result."""


def commands(rejoin, examples, also):
    """How each server is started, but for `--addr HOST:PORT`. `examples` is a folder; `also` are pairs of a name and a command."""
    return {
        REJOIN: [rejoin],
        FLOOR: [f"{examples}/limit-server", "--no-coalesce"],
        COALESCED: [f"{examples}/limit-server"],
        AXUM: [f"{examples}/axum-broadcast"],
        **dict(also),
    }


def named(text):
    """NAME=COMMAND, as a pair of the name and the command's words."""
    name, _, command = text.partition("=")
    name = name.strip()
    words = shlex.split(command)
    if not name or not words:
        raise ValueError("it has to be NAME=COMMAND")
    if name in (*ALL, COALESCED):
        raise ValueError(f"{name} is measured anyway: it has to be another name")
    if shutil.which(words[0]) is None:
        raise ValueError(f"{words[0]} is missing, or cannot be run")
    return name, words


class Server:
    """A server that runs."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    @property
    def pid(self):
        return self.process.pid

    @property
    def addr(self):
        return f"127.0.0.1:{self.port}"

    def check(self):
        """Fails when it has ended."""
        if self.process.poll() is not None:
            raise Failed(f"the server has ended, with status {self.process.returncode}")

    def peak_memory(self):
        """The most that was resident at a time so far, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


@contextlib.contextmanager
def started(command):
    """A server started anew, for as long as it is used."""
    port = free_port()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen([*command, "--addr", f"127.0.0.1:{port}"], **quiet)
    except OSError as error:
        raise Failed(f"the server cannot be started: {error}") from error
    try:
        server = Server(process, port)
        wait_for(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(server):
    """Until it accepts."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        server.check()
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed("the server does not listen")
