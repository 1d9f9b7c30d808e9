"""What nobody should send: the server must refuse it, stay whole, and touch nothing."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load.bombs import bombs, slow_connections
from load.clients import KINDS, client
from load.malformed import malformed_calls, upload_codes
from load.pictures import Picture
from load.program import ROOM_BYTES, Program, program, until
from load.results import Figure

SCHEMATHESIS_CASES = 1000
CALLS = 200
SLOW_CONNECTIONS = 50

_HERE = Path(__file__).resolve().parent
_PHASES = "examples,coverage,fuzzing,stateful"


@dataclass(frozen=True)
class Room:
    """A folder in which a server can be watched: it runs some levels below the top, so that `..` stays inside."""

    top: Path

    @property
    def folder(self) -> Path:
        """Where the server runs."""
        return self.top / "some" / "levels" / "below"

    def files(self) -> dict[str, tuple[int, int]]:
        """Relative path of everything but the log to its size and time of change."""
        found = {}
        for path in sorted(self.top.rglob("*")):
            if path.name != "serve.log" and not path.is_dir():
                found[str(path.relative_to(self.top))] = (path.stat().st_size, path.stat().st_mtime_ns)
        return found


@contextlib.contextmanager
def watched(*arguments: str) -> Iterator[tuple[Program, Room]]:
    """A server of which all files that it could write by accident lie in one folder."""
    with tempfile.TemporaryDirectory(prefix="icnet-hostile-") as top:
        room = Room(Path(top))
        places = {name: room.top / name.lower() for name in ("HOME", "TMPDIR", "ICNET_CACHE")}
        for path in (room.folder, *places.values()):
            path.mkdir(parents=True)
        with program(room.folder, *arguments, environment={name: str(path) for name, path in places.items()}) as running:
            yield running, room


def hostile(
    running: Program,
    room: Room,
    picture: Picture,
    expected: str,
    *,
    cases: int = SCHEMATHESIS_CASES,
    calls: int = CALLS,
    slow: int = SLOW_CONNECTIONS,
    phases: str = _PHASES,
) -> list[Figure]:
    """Everything, one after the other.

    Args:
        running: a server that `watched` started.
        room: of the server.
        picture: a harmless one.
        expected: digest of its class map.
        cases: at least so many of schemathesis.
        calls: malformed calls over gRPC.
        slow: connections that send a byte now and then.
        phases: of schemathesis.
    """
    for _ in range(5):
        wrong(running, picture, expected)
    before, files, descriptors = running.resident_bytes(), room.files(), running.descriptors()
    assert running.grpc is not None
    figures = schemathesis(running, cases, phases=phases)
    groups: dict[str, Counter[str]] = {
        "gRPC": malformed_calls(running.grpc, running.model(), calls),
        "upload": upload_codes(running, picture.jpeg, room.top),
        **bombs(running),
        "slow connections": slow_connections(running, slow),
    }
    for name, codes in groups.items():
        figures.append(
            Figure(f"{name}: " + ", ".join(f"{count} x {code}" for code, count in sorted(codes.items())), codes.total())
        )
    bad = {code for codes in groups.values() for code in codes if is_server_error(code)}
    until(lambda: running.descriptors() <= descriptors + 8, 15, every=0.2)
    return [
        *figures,
        Figure.none("codes that blame the server", sorted(bad)),
        Figure.none(
            "tracebacks in the log", [line for line in running.log.read_text("utf-8").splitlines() if "Traceback" in line]
        ),
        Figure.none("paths touched", [path for path, _ in set(files.items()) ^ set(room.files().items())]),
        Figure.at_most("descriptors left open", running.descriptors() - descriptors, 8),
        Figure.at_most("more memory than before, MiB", (running.resident_bytes() - before) / (1 << 20), ROOM_BYTES / (1 << 20)),
        Figure("the same at its peak, MiB", (running.peak_bytes() - before) / (1 << 20)),
        Figure.none("normal requests wrong afterwards", wrong(running, picture, expected)),
    ]


def is_server_error(code: str) -> bool:
    """Whether an HTTP status or gRPC code says that the fault is the server's; being overloaded is not."""
    return (code[:1] == "5" and code != "503") or code in ("UNKNOWN", "INTERNAL", "DATA_LOSS", "no answer, still open")


def wrong(running: Program, picture: Picture, expected: str) -> list[str]:
    """Kinds of clients that do not get the right class map."""
    faults = []
    for kind in KINDS:
        caller = client(kind, running)
        try:
            answer = caller.ask(picture, "normal")
            faults += [] if answer.digest == expected and answer.id == "normal" else [kind]
        except Exception as error:  # whatever it is, it is not the right class map
            faults.append(f"{kind}: {error}")
        caller.close()
    return faults


def schemathesis(running: Program, cases: int, *, phases: str = _PHASES) -> list[Figure]:
    """Generated requests with all default checks.

    Args:
        running: the server.
        cases: at least so many.
        phases: of schemathesis.
    """
    generated, seed = 0, 0
    failures: list[str] = []
    operations = len(json.loads(running.ask("GET", "/openapi.json")[1])["paths"])
    while generated < cases and seed < 8 and not failures:
        seed += 1
        examples = max(1, 2 * (cases - generated) // operations)
        report = _schemathesis(running, ["--max-examples", str(examples), "--seed", str(seed), "--phases", phases])
        generated += report["test_cases"]["generated"]
        failures += [f"{one['title']}: {', '.join(one['operations'])}\n{report['printed']}" for one in report["failures"]]
        failures += [str(error)[:300] for error in report["errors"]]
    return [
        Figure.at_least("schemathesis, cases", generated, cases),
        Figure.none("schemathesis, failures", failures),
    ]


def _schemathesis(running: Program, options: list[str]) -> dict[str, Any]:
    """The report of one run, and what it printed."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(_HERE / "schemathesis.toml"), "run"]
    command += [
        f"{running.http}/openapi.json",
        "--no-color",
        "--no-shrink",
        "--continue-on-failure",
        "--generation-database",
        "none",
    ]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(
            [*command, "--report-json-path", str(report), *options],
            cwd=folder,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")]))},
        )
        if not report.exists():
            return {"test_cases": {"generated": 0}, "failures": [], "errors": [done.stdout + done.stderr], "printed": ""}
        return json.loads(report.read_text(encoding="utf-8")) | {"printed": done.stdout[-4000:]}
