#!/usr/bin/env python3
"""A training of some minutes on a GPU machine that has JAX and no network; the weights come back in pieces.

usage: python tools/short_run.py pack FOLDER --data CamVid
       python FOLDER/short_run.py train OUT --minutes 9 [--model NAME] [--rehearse]      there, with the folder's own copy
       python tools/short_run.py join OUT best.safetensors --data CamVid

`pack` gathers the source, a small copy of CamVid, the weights to start from and to be taught by, and wheels of what such a
machine lacks. `train` checks the imports first, then trains by one recipe with one size of crops, so that JAX compiles once, and
its schedule ends in time. `join` puts the pieces together and scores them on the pictures as they were.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPACT, TEACHER = "icnet-camvid-ava-compact-60-0001", "icnet-lite-large"

WHEELS = ["keras", "namex", "optree", "platformdirs", "markdown-it-py"]
"""Without their dependencies, which the machine has: NumPy, JAX, safetensors, typer, rich, OpenCV, Pillow, TensorBoard."""

PYTHON, PLATFORMS = "3.12", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Of that machine."""

VALIDATED = 8
"""Pictures of val that travel: the score that counts is made by `join`."""

PIECE = 15 * 2**20
"""Bytes of a piece of the weights."""

SAVING_S = 60
"""Kept of the minutes for reading, imports and saving."""

RECIPE = ["distillation.view=picture", "void=class", "class_weight_offset=1.1", "weight_decay=0.02", "clip_norm=5"]
RECIPE += ["augmentation.blur=1.2", "augmentation.sharpness=1"]

GPU = ["--crop", "720x960", "--batch-size", "16", "--precision", "bfloat16", "--learning-rate", "2e-3"]
CPU = ["--crop", "96x128", "--batch-size", "4"]
"""Options of the real run, and of one that only shows that all parts fit."""


def pack(folder: Path, data: Path, pictures: int | None) -> None:
    """Fill `folder`, about 60 MB, with all training pictures or the first ones."""
    for part in ("src/icnet", "data", "wheels"):
        (folder / part).mkdir(parents=True)
    shutil.copy(__file__, folder)
    kept = {f"{COMPACT}.safetensors", f"{TEACHER}.safetensors"}

    def unwanted(_: str, names: list[str]) -> set[str]:
        weights = {name for name in names if name.endswith((".safetensors", ".bin"))}
        return {"__pycache__"} | weights - kept

    shutil.copytree(ROOT / "src" / "icnet", folder / "src" / "icnet", ignore=unwanted, dirs_exist_ok=True)
    _small_copy(data, folder / "data", "train", pictures)
    _small_copy(data, folder / "data", "val", VALIDATED)
    targets = [option for platform in PLATFORMS for option in ("--platform", platform)]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, *targets]
    wheels = ["-d", str(folder / "wheels"), *WHEELS]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *wheels], check=True)
    print(f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.1f} MB in {folder}")


def _small_copy(source: Path, target: Path, split: str, count: int | None = None) -> None:
    """The split, or its first pictures, as JPEG in the layout that `icnet.data.camvid` reads."""
    import cv2

    (target / split).mkdir()
    shutil.copytree(source / f"{split}annot", target / f"{split}annot")
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    names = [path.stem for path in sorted((source / split).glob("*.png"))][:count]
    for name in names:
        cv2.imwrite(str(target / split / f"{name}.jpg"), cv2.imread(str(source / split / f"{name}.png")), quality)
    (target / f"{split}.txt").write_text("".join(f"{split}/{name}.jpg {split}annot/{name}.png\n" for name in names))


def train(out: Path, model: str, minutes: float, *, rehearse: bool) -> None:
    """Train from this file's folder and leave what came of it in `out`, also when the time runs out."""
    here, site = Path(__file__).resolve().parent, out / "site"
    wheels = [str(wheel) for wheel in (here / "wheels").glob("*.whl")]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *wheels], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{here / 'src'}:{site}", "KERAS_BACKEND": "jax", "PYTHONUNBUFFERED": "1"}
    check = "import jax, keras, icnet.cli.train, icnet.training.trainer; print(jax.devices(), keras.__version__)"
    subprocess.run([sys.executable, "-c", check], env=environment, check=True)
    run = out / "run"
    command = [sys.executable, "-m", "icnet", "train", "--data", str(here / "data"), "--out", str(run)]
    command += ["--model", model, "--initial", COMPACT, "--teacher", TEACHER, "--validate-every", "1000"]
    command += ["--fit-minutes", str(minutes - SAVING_S / 60), *(CPU if rehearse else GPU)]
    subprocess.run([*command, *[word for value in RECIPE for word in ("--set", value)]], env=environment, check=True)
    weights = (run / "best.safetensors").read_bytes()
    for number, start in enumerate(range(0, len(weights), PIECE)):
        (out / f"best.{number:02d}").write_bytes(weights[start : start + PIECE])
    shutil.copy(run / "log.csv", out)
    shutil.rmtree(site)
    shutil.rmtree(run)


def join(pieces: Path, target: Path, data: Path) -> None:
    """Write the weights that `train` left in pieces, and score them."""
    target.write_bytes(b"".join(piece.read_bytes() for piece in sorted(pieces.glob("best.[0-9][0-9]"))))
    subprocess.run([sys.executable, "-m", "icnet", "evaluate", "--data", str(data), "--model", str(target)], check=True)


def main() -> None:
    """One of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    packing, training, joining = (steps.add_parser(step) for step in ("pack", "train", "join"))
    packing.add_argument("folder", type=Path)
    packing.add_argument("--pictures", type=int, help="take the first ones only, to rehearse with")
    training.add_argument("out", type=Path)
    training.add_argument("--minutes", type=float, default=9)
    training.add_argument("--model", default=COMPACT)
    training.add_argument("--rehearse", action="store_true", help="small crops in float32, for a CPU")
    joining.add_argument("pieces", type=Path)
    joining.add_argument("target", type=Path)
    for needs_data in (packing, joining):
        needs_data.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    match args.step:
        case "pack":
            pack(args.folder, args.data, args.pictures)
        case "train":
            train(args.out, args.model, args.minutes, rehearse=args.rehearse)
        case "join":
            join(args.pieces, args.target, args.data)


if __name__ == "__main__":
    main()
