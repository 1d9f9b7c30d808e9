#!/usr/bin/env python3
"""`icnet serve` against its bars: right under load, fast, refusing what is too much, losing nothing, hard to hurt.

usage: python tools/serve_bars.py mixed|throughput|overload|drain|reload|hostile|costly|all ... [--seconds N] [--times N] [--json]

Each starts the real program on free ports with the default model and wants an otherwise idle machine with Linux' /proc. The exit
code is 1 if a bar is missed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from icnet.network.registry import bundled_path
from icnet.network.spec import DEFAULT_MODEL
from icnet.runtime.engine import EngineOptions
from icnet.runtime.segmenter import Segmenter
from icnet.serve.options import ServerOptions
from load.costly import costly
from load.drain import drain
from load.hostile import CALLS, SCHEMATHESIS_CASES, SLOW_CONNECTIONS, hostile, watched
from load.mixed import mixed
from load.overload import overload
from load.pictures import Pictures, reference
from load.program import program
from load.reload import reload, versions
from load.results import Figure, document, show
from load.throughput import throughput

NETWORK_HW = (720, 960)
RELOADED = "icnet-camvid-ava-compact-60-0001"


def _mixed(args: argparse.Namespace, folder: Path) -> list[Figure]:
    pictures, segmenter = Pictures(), Segmenter(options=EngineOptions(cache=True))
    with program(folder) as running:
        return mixed(running, pictures, lambda one: reference(segmenter, one), seconds=args.seconds or 120)


def _throughput(args: argparse.Namespace, folder: Path) -> list[Figure]:
    pictures = Pictures(streets=4, sizes_hw=[NETWORK_HW])
    with program(folder) as running:
        return throughput(
            running, DEFAULT_MODEL, [pictures(number) for number in range(24)], seconds=args.seconds or 20, rounds=args.times or 3
        )


def _overload(args: argparse.Namespace, folder: Path, *, rpc: bool = False) -> list[Figure]:
    pictures = Pictures(streets=4, sizes_hw=[(360, 480)] if rpc else [NETWORK_HW])
    with program(folder) as running:
        return overload(running, [pictures(number) for number in range(24)], seconds=args.seconds or (20 if rpc else 60), rpc=rpc)


def _overload_rpc(args: argparse.Namespace, folder: Path) -> list[Figure]:
    return _overload(args, folder, rpc=True)


def _drain(args: argparse.Namespace, folder: Path) -> list[Figure]:
    segmenter, workers = Segmenter(), ServerOptions().workers
    return drain(folder, [], Pictures(), lambda one: reference(segmenter, one), workers=workers, times=args.times or 10)


def _reload(args: argparse.Namespace, folder: Path) -> list[Figure]:
    paint = Pictures()
    pictures = [paint(number) for number in range(16)]
    both = versions(folder, bundled_path(RELOADED), pictures)
    with program(folder, "--model", str(both.model)) as running:
        return reload(running, both, pictures, times=args.times or 20)


def _hostile(args: argparse.Namespace, folder: Path) -> list[Figure]:
    picture, segmenter = Pictures(streets=1)(0), Segmenter()
    with watched() as (running, room):
        expected = reference(segmenter, picture)
        return hostile(running, room, picture, expected, cases=args.cases, calls=CALLS, slow=SLOW_CONNECTIONS)


def _costly(args: argparse.Namespace, folder: Path) -> list[Figure]:
    picture, drain_seconds = Pictures(streets=1, sizes_hw=[NETWORK_HW])(0), 5
    expected = reference(Segmenter(), picture)
    with program(folder, "--drain-seconds", str(drain_seconds)) as running:
        return costly(running, picture, expected, seconds=args.seconds or 20, drain_seconds=drain_seconds)


BARS: dict[str, Callable[[argparse.Namespace, Path], list[Figure]]] = {
    "mixed": _mixed,
    "throughput": _throughput,
    "overload": _overload,
    "overload-grpc": _overload_rpc,
    "drain": _drain,
    "reload": _reload,
    "hostile": _hostile,
    "costly": _costly,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", nargs="+", choices=[*BARS, "all"])
    parser.add_argument(
        "--seconds", type=float, help="of mixed (120), overload (60; over gRPC 20), each turn of throughput (20), costly (20)"
    )
    parser.add_argument("--times", type=int, help="rounds of throughput (3), ends of drain (10), reloads (20)")
    parser.add_argument("--cases", type=int, default=SCHEMATHESIS_CASES, help="of schemathesis in hostile (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout; the tables go to stderr")
    args = parser.parse_args()
    runs: dict[str, list[Figure]] = {}
    for name in BARS if "all" in args.bars else dict.fromkeys(args.bars):
        with tempfile.TemporaryDirectory(prefix="icnet-bars-") as folder:
            runs[name] = BARS[name](args, Path(folder))
        show(name, runs[name])
    result = document(runs, DEFAULT_MODEL)
    if args.json:
        print(json.dumps(result, indent=2, default=str))
    else:
        print(json.dumps(result["card"]), file=sys.stderr)
    return 0 if result["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
