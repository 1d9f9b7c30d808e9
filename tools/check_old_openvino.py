#!/usr/bin/env python3
"""Run exported IRs in another release of OpenVINO too, and compare the classes on one frame of the synthetic street.

usage: python tools/check_old_openvino.py models /path/to/other/venv/bin/python

The other interpreter needs openvino and numpy only. Exit code 1 if an IR changes the class of more than 0.1 % of the pixels.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from icnet.deploy.openvino import MAX_CHANGED
from icnet.runtime.preprocess import resize_frame
from icnet.street.drive import StreetDrive, StreetOptions

FRAME = 60
RUN = """
import sys
import numpy as np
import openvino as ov

ir, data, out = sys.argv[1:]
model = ov.Core().compile_model(ir, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
result = model(np.load(data))[0]
np.save(out, result if result.ndim == 3 else result.argmax(axis=1))
print(ov.__version__)
"""


def classes(python: str, ir: Path, data: Path) -> tuple[str, np.ndarray]:
    """OpenVINO's version in that interpreter, and the (1, H, W) class map; of `logits` at a quarter of the input's size."""
    out = data.with_name("classes.npy")
    done = subprocess.run([python, "-c", RUN, ir, data, out], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip(), np.load(out)


def main() -> int:
    """Compare every IR below a folder; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where `icnet export` wrote")
    parser.add_argument("python", help="interpreter that has the other OpenVINO")
    parser.add_argument("--size", type=int, nargs=2, default=(720, 960), metavar=("H", "W"), help="input size of the IRs")
    args = parser.parse_args()
    paths = sorted(args.folder.rglob("*.xml"))
    if not paths:
        parser.error(f"no .xml below {args.folder}: give the folder that `icnet export` wrote into")
    size_hw = tuple(args.size)
    frame = StreetDrive(StreetOptions(size_hw=size_hw))[FRAME].image
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.npy")
        np.save(data, resize_frame(frame, size_hw).astype(np.float32))
        for path in paths:
            here, expected = classes(sys.executable, path, data)
            there, found = classes(args.python, path, data)
            changed = float((found != expected).mean())
            worst = max(worst, changed)
            print(
                f"{path}: {len(np.unique(expected))} classes, {changed:.4%} of {expected.size} pixels differ ({here} and {there})"
            )
    return int(worst > MAX_CHANGED)


if __name__ == "__main__":
    sys.exit(main())
