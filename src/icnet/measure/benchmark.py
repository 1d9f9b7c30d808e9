"""Speed of the networks side by side: one process, one kind of call after the other, so that drift hits all alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from icnet import __version__
from icnet.base.cores import available_cores
from icnet.base.errors import UsageError, check_counts, require
from icnet.base.processor import instructions, processor
from icnet.deploy.quantize import calibrate, require_nncf
from icnet.network.graph import convolutions
from icnet.network.onnx_model import onnx_model
from icnet.network.openvino_model import INPUT, openvino_model, with_output
from icnet.network.registry import find_weights, read_model
from icnet.network.spec import COMPACT_60, DEFAULT_MODEL, DENSE, LITE, Spec
from icnet.network.weights import Weights, random_weights
from icnet.runtime.core import core
from icnet.runtime.engine import EngineOptions
from icnet.runtime.ir import read_ir
from icnet.runtime.kernels import compiled
from icnet.runtime.segmenter import Segmenter

MAX_SPREAD = 0.25
"""No ratio is stated that spreads more than this: from the 10th to the 90th percentile of the rounds, by the median."""

MIN_ROUNDS = 10
"""Nor is one that comes from fewer rounds: what they spread by would say nothing."""

_INDEX = "index IR in OpenVINO"

_MATRIX = 2048
"""Side of the matrices of the ceiling."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """How long to measure."""

    rounds: int = 20
    """Rounds in which every entry has its turn."""
    calls: int = 5
    """Timed calls of a turn, after one untimed call that brings the caches back."""
    threads: int | None = None
    """CPU threads; all cores if not given."""

    def __post_init__(self) -> None:
        check_counts(self, "rounds", "calls", "threads")

    @property
    def cores(self) -> int:
        """Threads that everything is given."""
        return self.threads or available_cores()


@dataclass(frozen=True)
class Entry:
    """What is measured."""

    name: str
    what: str
    call: Callable[[], object]
    spec: Spec | None = None
    """For the operations; None for what is no network."""
    trained: bool = True


@dataclass(frozen=True)
class Timing:
    """One entry's outcome."""

    name: str
    what: str
    trained: bool
    """Whether the weights are; time does not depend on it."""
    median_ms: float
    p90_ms: float
    gflops: float
    """10^9 multiplications and additions of the convolutions in a second."""
    ratio: float | None
    """Times as fast as the reference: median over the rounds; None if it spreads too much or the rounds are too few."""
    spread: float
    """Of the ratio: 90th minus 10th percentile of the rounds, by the median."""


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured, and on what."""

    machine: dict[str, Any]
    versions: dict[str, str]
    options: BenchmarkOptions
    ceiling: dict[str, float]
    """10^9 multiplications and additions in a second of a large matrix product, by number format."""
    timings: tuple[Timing, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Entries that could not be measured, with the reason."""

    @property
    def reference(self) -> Timing:
        """What the ratios are against."""
        return self.timings[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return asdict(self) | {"reference": self.reference.name, "max_spread": MAX_SPREAD}


def benchmark(
    frame: np.ndarray, *, options: BenchmarkOptions | None = None, report: Callable[[str], None] = lambda text: None
) -> Benchmark:
    """Measure the dense network, as Open Model Zoo ships it, against the smaller ones, as this package runs them.

    Args:
        frame: (720, 960, 3) uint8 BGR, a street scene: the time of decoding depends on how many borders there are.
        options: how long.
        report: told in a few words what is being done.

    Raises:
        ModelError: the bundled models are damaged.
    """
    options = options or BenchmarkOptions()
    entries, left_out = _entries(frame, options, report)
    products = [Entry(name, "", _product_call(int8=name == "int8", threads=options.cores)) for name in ("fp32", "int8")]
    seconds: dict[str, list[list[float]]] = {entry.name: [] for entry in [*entries, *products]}
    for number in range(options.rounds):
        report(f"round {number + 1} of {options.rounds}")
        for entry in [*entries, *products]:
            entry.call()
            seconds[entry.name].append([_timed(entry.call) for _ in range(options.calls)])
    reference = np.median(seconds[entries[0].name], axis=1)
    ceiling = {entry.name: 2 * _MATRIX**3 / 1e9 / float(np.median(seconds[entry.name])) for entry in products}
    timings = tuple(_timing(entry, np.array(seconds[entry.name]), reference) for entry in entries)
    return Benchmark(machine(options.cores), versions(), options, ceiling, timings, left_out)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _timing(entry: Entry, seconds: np.ndarray, reference: np.ndarray) -> Timing:
    """Sum up (rounds, calls) seconds; `reference` are the (rounds,) medians of the reference."""
    operations = 2 * sum(conv.multiply_adds for conv in convolutions(entry.spec)) if entry.spec else 0
    low, ratio, high = (float(value) for value in np.percentile(reference / np.median(seconds, axis=1), (10, 50, 90)))
    spread = (high - low) / ratio
    median = float(np.median(seconds))
    return Timing(
        name=entry.name,
        what=entry.what,
        trained=entry.trained,
        median_ms=1e3 * median,
        p90_ms=1e3 * float(np.percentile(seconds, 90)),
        gflops=operations / median / 1e9,
        ratio=ratio if spread <= MAX_SPREAD and len(seconds) >= MIN_ROUNDS else None,
        spread=spread,
    )


def _entries(frame: np.ndarray, options: BenchmarkOptions, report: Callable[[str], None]) -> tuple[list[Entry], dict[str, str]]:
    """Everything that can be measured here, the reference first, and why the rest cannot."""
    data, threads = frame[np.newaxis].astype(np.float32), options.cores
    dense, compact, lite = random_weights(DENSE), find_weights(COMPACT_60.name), find_weights(LITE.name)

    def request(model: ov.Model) -> Callable[[], object]:
        infer = _compiled(model, threads).create_infer_request()
        return lambda: infer.infer({INPUT: data}, share_inputs=True)

    def index(weights: Weights) -> ov.Model:
        return openvino_model(weights, output="index")

    makers: dict[str, tuple[str, Weights, Callable[[], Callable[[], object]]]] = {
        "dense fp32": ("index IR in OpenVINO: the reference", dense, lambda: request(index(dense))),
        "dense int8": (_INDEX, dense, lambda: request(_int8(dense, data))),
        "dense fp32, ONNX": ("index in ONNX Runtime", dense, lambda: _onnx_request(dense, data, threads)),
        "compact fp32": (_INDEX, compact, lambda: request(index(compact))),
        "compact int8": (_INDEX, compact, lambda: request(_int8(compact, data))),
        "lite fp32": (_INDEX, lite, lambda: request(index(lite))),
        "lite int8": (_INDEX, lite, lambda: request(with_output(read_ir(read_model(DEFAULT_MODEL)), "index"))),
        "lite int8, Segmenter": (
            "BGR frame in, class map out",
            lite,
            lambda: partial(Segmenter(options=EngineOptions(threads=threads, cache=True)), frame),
        ),
    }
    entries, left_out = [], {}
    for name, (what, weights, make) in makers.items():
        report(f"preparing {name}")
        try:
            entries.append(Entry(name, what, make(), weights.spec, weights is not dense))
        except UsageError as error:
            left_out[name] = str(error)
    return entries, left_out


def _int8(weights: Weights, data: np.ndarray) -> ov.Model:
    """The index IR in eight bits; one image is enough where only time counts.

    Raises:
        UsageError: NNCF is not installed.
    """
    nncf = require_nncf()
    return with_output(calibrate(openvino_model(weights), nncf.Dataset([data]), 1), "index")


def _onnx_request(weights: Weights, data: np.ndarray, threads: int) -> Callable[[], object]:
    """A call of a network in ONNX Runtime.

    Raises:
        UsageError: ONNX or ONNX Runtime is not installed.
    """
    onnxruntime = require("onnxruntime", "this needs ONNX Runtime", "onnx onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx_model(weights), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: data})


def _compiled(model: ov.Model, threads: int) -> ov.CompiledModel:
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}
    return core().compile_model(model, "CPU", settings)


def _product(*, int8: bool) -> ov.Model:
    """One large matrix product; in eight bits it takes and gives floats too, at a small cost."""
    right = np.random.default_rng(0).uniform(-1, 1, (_MATRIX, _MATRIX)).astype(np.float32)
    given = ops.parameter([_MATRIX, _MATRIX], np.float32, name=INPUT)
    factor: ov.Node = ops.constant(right)
    taken: ov.Node = given
    if int8:
        taken = ops.fake_quantize(given, np.float32(-1), np.float32(127 / 128), np.float32(-1), np.float32(127 / 128), 256)
        factor = ops.fake_quantize(factor, np.float32(-1), np.float32(1), np.float32(-1), np.float32(1), 255)
    return ov.Model([ops.result(ops.matmul(taken, factor, False, True))], [given], "product")


def _product_call(*, int8: bool, threads: int) -> Callable[[], object]:
    left = np.random.default_rng(1).uniform(-1, 1, (_MATRIX, _MATRIX)).astype(np.float32)
    request = _compiled(_product(int8=int8), threads).create_infer_request()
    return lambda: request.infer({INPUT: left}, share_inputs=True, share_outputs=True)


def machine(threads: int) -> dict[str, Any]:
    """Processor, cores and the vector instructions that decide the speed; what the system does not tell is left out."""
    return {
        "processor": processor(),
        "system": platform.platform(),
        "cores": available_cores(),
        "threads": threads,
        "instructions": instructions(),
        "decoding": "compiled" if compiled() else "NumPy",
    }


def versions() -> dict[str, str]:
    """Of everything that takes part and is installed."""
    found = {"icnet": __version__, "python": platform.python_version()}
    for name in ("openvino", "onnxruntime", "nncf", "numpy", "opencv-python-headless"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
