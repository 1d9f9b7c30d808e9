"""A running `icnet serve`, seen from outside."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOM_BYTES = 128 << 20
"""How much more memory a server may hold after a hard time than before it."""


@dataclass(frozen=True)
class Program:
    """A server process and where it listens."""

    process: subprocess.Popen[str]
    http: str
    """URL."""
    grpc: str | None
    """`host:port`; None if it does not listen for gRPC."""
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of HTTP."""
        parts = urllib.parse.urlsplit(self.http)
        return parts.hostname or "", parts.port or 80

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What it has logged, under a name if one is given."""
        lines = [
            json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
        ]
        return [line for line in lines if name in (None, line["event"])]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def model(self, name: str | None = None) -> dict[str, Any]:
        """Name, versions, inputs and outputs of a model: of the first if none is named."""
        if name is None:
            name = json.loads(self.ask("POST", "/v2/repository/index", b"{}")[1])[0]["name"]
        status, body = self.ask("GET", f"/v2/models/{name}")
        assert status == 200, body[:200]
        return json.loads(body)

    def metric(self, pattern: str) -> float:
        """Sum of the samples whose name and labels match a regular expression."""
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(pattern, line))

    def in_flight(self) -> int:
        """Requests that wait for a worker or have one."""
        return int(self.metric(r"icnet_(queue_length|workers_busy) "))

    def resident_bytes(self) -> int:
        """Memory that the process holds."""
        return psutil.Process(self.process.pid).memory_info().rss

    def peak_bytes(self) -> int:
        """The most memory that it has ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))

    def descriptors(self) -> int:
        """Files and sockets that the process has open."""
        return psutil.Process(self.process.pid).num_fds()

    def end(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal, wait, and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def program(
    folder: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    before: str = "",
    open_files: int | None = None,
) -> Iterator[Program]:
    """Start `icnet serve` on free ports, and kill it at the end if it still runs.

    Args:
        folder: where it runs and where its log is kept.
        arguments: more of the command line.
        environment: variables to set.
        before: Python to run in the process first.
        open_files: the limit of them.
    """
    log = folder / "serve.log"
    code = f"{before}\nfrom icnet.cli import main\nmain()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--grpc-port", "0", *arguments]
    if open_files is not None:
        command = ["prlimit", f"--nofile={open_files}:{open_files}", *command]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=os.environ | (environment or {})
        )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(1 if "--no-grpc" in arguments else 2)]
        if not all(lines):
            raise RuntimeError(f"icnet serve has not started: {log.read_text(encoding='utf-8')[-2000:]}")
        yield Program(process, lines[0][-1], lines[1][-1] if len(lines) > 1 else None, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def until(true: Callable[[], bool], seconds: float, *, every: float = 0.005) -> float | None:
    """Wait for something: how long it took in seconds, or None if it did not come in time."""
    start = time.perf_counter()
    while not true():
        if time.perf_counter() - start > seconds:
            return None
        time.sleep(every)
    return time.perf_counter() - start
