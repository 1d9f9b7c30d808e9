#!/usr/bin/env python3
"""The promises of docs/reliability.md, put to the test for as long as you like.

usage: python tools/torture.py [--minutes M] [--only TEXT ...]

Of each row of its table, the controls run once, the tests again and again with other seeds until the row's share of the time
is over, and the bars of `tools/serve_bars.py`, which want an otherwise idle machine, for that share. One line a row: cases,
wrong ones, crashes, controls that saw nothing, a figure. The exit code is 1 if a promise is broken.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"

AMOUNTS = {"mixed": ("--seconds", 1), "overload": ("--seconds", 1), "costly": ("--seconds", 1)} | {
    "drain": ("--times", 8),
    "reload": ("--times", 3),
    "hostile": ("--cases", 0.1),
}
"""Bar to the option that says how much of it, and about how many seconds one takes."""

LEAST = 4
"""Of anything: every third reload or so is of a corrupt file."""


@dataclass(frozen=True)
class Part:
    """A row of the page."""

    name: str
    tests: list[str]
    bars: list[str]
    controls: list[str]


@dataclass
class Count:
    """What came of some tests or bars."""

    cases: int = 0
    wrong: int = 0
    crashes: int = 0
    skipped: int = 0
    figure: str = ""
    said: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Count") -> "Count":
        for name in ("cases", "wrong", "crashes", "skipped", "said"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.figure = other.figure or self.figure
        return self


def parts() -> list[Part]:
    """The rows that name tests."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if ".py::" in line]
    test, bar = re.compile(r"`([^`]+\.py::\w+)`"), re.compile(r"`tools/serve_bars\.py ([\w-]+)`")
    return [Part(row[0].strip(), test.findall(row[2]), bar.findall(row[2]), test.findall(row[3])) for row in rows]


def run_tests(tests: list[str], seed: int) -> Count:
    """Run tests once, with the data of a seed."""
    with tempfile.TemporaryDirectory(prefix="icnet-torture-", ignore_cleanup_errors=True) as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", "--rootdir=.", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", f"--basetemp={folder}/tests", *tests],
            cwd=ROOT,
            env=os.environ | {"ICNET_TEST_SEED": str(seed)},
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 1):
            return Count(
                crashes=1, said=[f"seed {seed}: pytest ended with {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"]
            )
        count = Count()
        for case in ElementTree.parse(report).iter("testcase"):
            told = {one.get("name"): one.get("value", "") for one in case.iter("property")}
            count.figure = told.get("figure", count.figure)
            outcome = next((one for one in case if one.tag in ("failure", "error", "skipped")), None)
            count.skipped += outcome is not None and outcome.tag == "skipped"
            count.wrong += outcome is not None and outcome.tag == "failure"
            count.crashes += outcome is not None and outcome.tag == "error"
            count.cases += int(told.get("cases", 1)) if outcome is None or outcome.tag != "skipped" else 0
            if outcome is not None and outcome.tag != "skipped":
                count.said.append(f"seed {seed}: {case.get('name')}: {(outcome.text or '')[-2000:]}")
        return count


def run_bar(name: str, seconds: float) -> Count:
    """Measure one bar of the server for about so long."""
    option, each = AMOUNTS[name]
    command = [
        sys.executable,
        str(ROOT / "tools" / "serve_bars.py"),
        name,
        option,
        str(max(LEAST, round(seconds / each))),
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.stdout:
        return Count(crashes=1, said=[f"{name} ended with {done.returncode}\n{done.stderr[-2000:]}"])
    figures = json.loads(done.stdout)["bars"][name]
    missed = [f"{one['name']}: {one['value']}, not {one['bar']} {' '.join(one['details'])}" for one in figures if not one["met"]]
    cases = next(int(one["value"]) for one in figures if isinstance(one["value"], int))
    shown = next((one for one in figures if one["speed"]), figures[0])
    return Count(cases, len(missed), figure=f"{shown['name']} {shown['value']:.3g}", said=missed)


def run(part: Part, seconds: float) -> tuple[Count, Count]:
    """Tests and bars of a row for about so long, and its controls."""
    start, seed = time.monotonic(), random.SystemRandom().randrange(1 << 20)
    controls = run_tests(part.controls, 0) if part.controls else Count()
    count = run_tests(part.tests, seed)
    for bar in part.bars:
        count += run_bar(bar, seconds / len(part.bars))
    while not part.bars and time.monotonic() - start < seconds:
        seed += 1
        count += run_tests(part.tests, seed)
    return count, controls


def main() -> int:
    """Run the rows and print their lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="for all together, about (%(default)g)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="rows whose first cell contains one of these")
    args = parser.parse_args()
    chosen = [part for part in parts() if not args.only or any(text in part.name for text in args.only)]
    if not chosen:
        parser.error(f"no row of {PAGE.name} is called so; there are: {'; '.join(part.name for part in parts())}")
    broken = False
    for part in chosen:
        count, controls = run(part, 60 * args.minutes / len(chosen))
        blind = controls.wrong + controls.crashes
        broken |= bool(count.wrong or count.crashes or blind)
        line = f"{count.cases} cases, {count.wrong} wrong, {count.crashes} crashes, {controls.cases} controls, {blind} blind"
        print(f"{part.name}: {line}" + (f", {count.skipped} skipped" if count.skipped else "") + f"; {count.figure}", flush=True)
        for text in count.said + controls.said:
            print(text, file=sys.stderr, flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
