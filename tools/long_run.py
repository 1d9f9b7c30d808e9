#!/usr/bin/env python3
"""Long trainings in the background, at low priority, from a copy of the source that they began with.

usage: python tools/long_run.py start|stop|pause|continue|status [--run NAME] [--data CamVid]

`start` begins the run or goes on with it, `stop` saves and validates, `pause` and `continue` leave it in memory. Everything
lies in `runs/long/NAME`: the source, the run's folder as `icnet train` writes it, and what it said.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "runs" / "long"
CAMVID = os.environ.get("ICNET_CAMVID", str(ROOT.parent / "shared" / "camvid"))

PLANS: dict[str, list[str]] = {
    "lite": ["--model", "icnet-lite", "--initial", "imagenet"],
    "lite-large": ["--model", "icnet-lite-large"],
    "compact": [
        *("--model", "icnet-camvid-ava-compact-60-0001", "--initial", "icnet-camvid-ava-compact-60-0001"),
        *("--teacher", "icnet-lite-large", "--set", "distillation.view=picture", "--validate-every", "20"),
        *("--epochs", "150", "--batch-size", "4", "--set", "crop_hw=352,480", "--set", "final.batch_size=4"),
        *("--set", "void=class", "--set", "class_weight_offset=1.1", "--set", "weight_decay=0.02", "--set", "clip_norm=5"),
        *("--set", "augmentation.scale=0.5,1.5", "--set", "augmentation.blur=1.2", "--set", "augmentation.sharpness=1"),
    ],
}
"""Name of a run to the options of `icnet train` that it has beside its folder, data and precision."""

GRACE_S = 20
"""How long `start` looks whether the run stays alive."""

PATIENCE_S = 600
"""How long a run may take to save and validate."""


class Run:
    """One of the plans, in its folder."""

    def __init__(self, name: str):
        """Look at `runs/long/NAME`."""
        self.name, self.folder = name, FOLDER / name
        self.out, self.said, self._pid = self.folder / "run", self.folder / "said.txt", self.folder / "pid"

    def process(self) -> int | None:
        """The number of the process at work, if there is one."""
        try:
            pid = int(self._pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.out).encode() in command else None  # numbers of processes are used again

    def start(self, data: str) -> None:
        """Begin, or go on from the checkpoint."""
        if self.process() is not None:
            sys.exit(f"{self.name} is at work already")
        source = self.folder / "source"
        if not source.exists():
            part = source.with_name("source.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(ROOT / "src", part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            part.rename(source)
        command = [sys.executable, "-m", "icnet", "train", "--data", data, "--out", str(self.out), *PLANS[self.name]]
        command += ["--precision", _precision()]
        if (self.out / "checkpoint.safetensors").exists():
            command.append("--resume")
        with self.said.open("a") as said:
            process = subprocess.Popen(
                ["nice", "-n", "19", *command],
                env={**os.environ, "PYTHONPATH": str(source), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._pid.write_text(str(process.pid))
        time.sleep(GRACE_S)
        if process.poll() is not None:
            sys.exit(f"{self.name} ended at once with code {process.returncode}: see {self.said}")
        print(f"{self.name} is at work in {self.out}, process {process.pid}")

    def stop(self) -> None:
        """Have it save and validate, and wait for that."""
        pid = self.process()
        if pid is None:
            sys.exit(f"{self.name} is not at work")
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGINT)
        until = time.monotonic() + PATIENCE_S
        while self.process() is not None:
            if time.monotonic() > until:
                sys.exit(f"{self.name} has not ended after {PATIENCE_S} s; its last checkpoint is whole, see {self.said}")
            time.sleep(1)
        self.status()

    def send(self, number: signal.Signals) -> None:
        """Pause or go on."""
        pid = self.process()
        if pid is None:
            sys.exit(f"{self.name} is not at work")
        os.kill(pid, number)

    def status(self) -> None:
        """Whether it is at work, and what it logged last."""
        log = self.out / "log.csv"
        print(f"{self.name}: {'at work' if self.process() else 'not at work'}")
        if log.exists():
            head, *lines = log.read_text().splitlines()
            print("\n".join([head, *lines[-3:], *[line for line in lines if line.split(",")[6]][-5:]]))


def _precision() -> str:
    """The faster one here; a run may go on in the other."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from icnet.training.steps import imitates_bfloat16

    return "float32" if imitates_bfloat16() else "bfloat16"


def main() -> None:
    """One action on one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "pause", "continue", "status"])
    parser.add_argument("--run", choices=PLANS, default="lite")
    parser.add_argument("--data", default=CAMVID)
    args = parser.parse_args()
    run = Run(args.run)
    match args.action:
        case "start":
            run.start(args.data)
        case "stop":
            run.stop()
        case "pause":
            run.send(signal.SIGSTOP)
        case "continue":
            run.send(signal.SIGCONT)
        case "status":
            run.status()


if __name__ == "__main__":
    main()
