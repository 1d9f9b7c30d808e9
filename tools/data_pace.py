#!/usr/bin/env python3
"""How long `icnet data import` and `icnet data check` take, and how much memory, on pictures that are made up.

usage: python tools/data_pace.py FOLDER [--pictures 1000] [--size 720x1280] [--format coco]

Two cores are used. Memory is what the command and its decoders hold together, sampled.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import psutil

CLASSES = ("road", "building", "tree", "car", "pole", "person", "sign", "sky")


def make(folder: Path, count: int, height: int, width: int, form: str) -> None:
    """Pictures as JPEG and 24 objects on each, as COCO's outlines or as masks."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        generator = np.random.default_rng(number)
        coarse = generator.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = generator.integers(0, 24, (height // 2, width // 2, 3), dtype=np.uint8)
        image = cv2.add(image, cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST))
        name = f"drive{number // 50:02d}_{number:06d}"
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        images.append({"id": number, "file_name": f"{name}.jpg", "height": height, "width": width})
        mask = np.full((height, width), 255, np.uint8)
        for index in range(24):
            angles = np.sort(generator.uniform(0, 2 * np.pi, 40))
            radius = generator.uniform(0.02, 0.3) * height * generator.uniform(0.8, 1.2, 40)
            middle = generator.uniform(0, [width, height])
            ring = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] + middle
            ring = np.clip(ring, 0, [width, height]).round(1)
            ids = {"id": len(annotations) + 1, "image_id": number, "category_id": index % len(CLASSES) + 1, "iscrowd": 0}
            annotations.append({**ids, "segmentation": [ring.ravel().tolist()]})
            cv2.fillPoly(mask, [ring.astype(np.int32)], index % len(CLASSES))
        if form == "folders":
            (folder / "masks").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    if form == "folders":
        (folder / "classes.txt").write_text("\n".join(CLASSES))
    else:
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
        (folder / "instances.json").write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": categories})
        )


def run(*arguments: str) -> str:
    """Wall and processor time and the most memory of a command on two cores, decoders included."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "icnet", *arguments],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]),
    )
    watched, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        with suppress(psutil.Error):
            most = max(most, sum(each.memory_info().rss for each in (watched, *watched.children(recursive=True))))
        time.sleep(0.2)
    wall, spent = time.monotonic() - began, os.times()
    seconds = spent.children_user + spent.children_system
    shown = " ".join(arguments[:2])
    return f"{shown}: exit {process.returncode}, {wall:.0f} s, {seconds:.0f} CPU-s so far, {most / 1e6:.0f} MB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size", default="720x1280")
    parser.add_argument("--format", choices=("coco", "folders"), default="coco")
    chosen = parser.parse_args()
    make(chosen.folder / "source", chosen.pictures, *map(int, chosen.size.split("x")), chosen.format)
    print(run("data", "import", str(chosen.folder / "source"), "-o", str(chosen.folder / "out"), "--val", "20%"))
    print(run("data", "check", str(chosen.folder / "out")))
