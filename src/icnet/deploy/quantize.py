"""Eight-bit models by post-training quantization, with a guard on the accuracy that it may cost."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from icnet.base.classes import Classes
from icnet.base.errors import ModelError, UsageError, require
from icnet.base.sample import Dataset
from icnet.evaluation.accuracy import check_classes, evaluate, predict
from icnet.evaluation.scores import Scores
from icnet.network.openvino_model import INPUT, convolution_nodes, kernel_constant, openvino_model
from icnet.runtime.core import core
from icnet.runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from icnet.network.openvino_model import Output
    from icnet.network.weights import Weights

_RANKING_IMAGES = 16
"""Images on which the repair looks for the layers that cost most."""


@dataclass(frozen=True)
class QuantizeOptions:
    """How a model is quantized."""

    max_drop: float = 0.5
    """Points of strict mIoU that the quantized model may lose on the validation images."""
    images: int = 128
    """Training images on which the ranges of the activations are measured; all if there are fewer."""
    seed: int = 0
    """Of the choice of those images."""

    def __post_init__(self) -> None:
        if not self.max_drop >= 0:
            raise UsageError(f"the allowed drop must be 0 points or more, not {self.max_drop}")
        if self.images < 1:
            raise UsageError(f"calibration needs 1 image or more, not {self.images}")


@dataclass(frozen=True)
class Quantized:
    """A model that passed the guard."""

    model: ov.Model
    """Gives `logits`."""
    table: Classes
    """What of."""
    miou_float: float
    """Strict mIoU of the model before, a fraction."""
    miou_strict: float
    """Strict mIoU of this model on the same images."""
    miou_omz: float | None
    """None where no class is void."""
    calibration: dict[str, Any]
    """What to write into the model card: split, number and names of the calibration images, seed, tool."""
    float_layers: tuple[str, ...]
    """Convolutions that stayed in floating point to pass the guard."""

    def classes(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class map of each (H, W, 3) uint8 BGR image, (H, W) uint8 of the network's input size."""
        request = _request(self.model, self.table)
        return [predict(request, frame, request.size_hw) for frame in frames]

    @property
    def drop(self) -> float:
        """Points of strict mIoU lost; below 0 if the quantized model is better."""
        return 100 * (self.miou_float - self.miou_strict)


def require_nncf() -> Any:
    """The package NNCF, told to be silent.

    Raises:
        UsageError: it is not installed.
    """
    nncf = require("nncf", "quantizing needs NNCF", "'icnet[export]'")
    nncf.set_log_level(logging.ERROR)
    return nncf


def quantize(
    weights: Weights,
    train: Dataset,
    val: Dataset,
    *,
    options: QuantizeOptions | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Quantized:
    """Quantize kernels and activations to eight bits.

    Kernels are quantized symmetrically, so that every zero stays zero. If the model loses too much, the layers that cost
    most are put back to floating point, one after the other, until it does not.

    Args:
        weights: the trained network.
        train: images for calibration.
        val: images with truth, on which the guard measures.
        options: guard, number of images, seed.
        report: told in a few words what is being done.

    Raises:
        ModelError: the guard cannot be met.
        UsageError: NNCF is not installed, or the images have other classes than the network.
        DataError: an image cannot be read.
    """
    options = options or QuantizeOptions()
    check_classes(val, weights.spec)
    nncf = require_nncf()
    chosen = np.random.default_rng(options.seed).permutation(len(train))[: options.images]
    samples = [train[int(index)] for index in sorted(chosen)]
    calibration = {
        "tool": f"NNCF {nncf.__version__}, post-training quantization, preset mixed, fast bias correction",
        "images": len(samples),
        "of": len(train),
        "seed": options.seed,
        "names": [sample.name for sample in samples],
    }
    size_hw = weights.spec.size_hw
    dataset = nncf.Dataset(samples, lambda sample: resize_frame(sample.image, size_hw).astype(np.float32))

    report("scoring the model before")
    before = _score(openvino_model(weights), val)
    report(f"quantizing on {len(samples)} images")
    model = calibrate(openvino_model(weights), dataset, len(samples))
    report("scoring the quantized model")
    after = _score(model, val)
    if not 100 * (before.miou_strict - after.miou_strict) <= options.max_drop:
        lost = 100 * (before.miou_strict - after.miou_strict)
        report(f"{lost:.2f} points lost: looking for the layers that cost most; this takes a while")
        model = _repaired(openvino_model(weights), dataset, len(samples), val, options.max_drop)
        after = _score(model, val)
    quantized = Quantized(
        model,
        weights.spec.classes,
        before.miou_strict,
        after.miou_strict,
        after.miou_omz,
        calibration,
        tuple(float_convolutions(model)),
    )
    if not quantized.drop <= options.max_drop:
        raise ModelError(
            f"the quantized model has {quantized.miou_strict:.2%} strict mIoU instead of {quantized.miou_float:.2%}, "
            f"{quantized.drop:.2f} points less, and {options.max_drop:g} are allowed: nothing was written; allow more with "
            "--max-drop, calibrate on other images, or stay with fp16"
        )
    return quantized


def calibrate(model: ov.Model, dataset: Any, images: int) -> ov.Model:
    """Quantize without a guard, on `images` of an `nncf.Dataset` that gives (1, H, W, 3) float32 BGR, 0 to 255."""
    nncf = require_nncf()
    with redirect_stdout(io.StringIO()):  # NNCF draws its bars on stdout, which belongs to our results
        return nncf.quantize(
            model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=images, advanced_parameters=_without_overflow(nncf)
        )


def _without_overflow(nncf: Any) -> Any:
    """Kernels that use half of their range: a CPU without VNNI sums pairs of eight-bit products in sixteen bits."""
    return nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)


def float_convolutions(model: ov.Model) -> list[str]:
    """Names of the convolutions whose kernel is stored in floating point."""
    nodes = convolution_nodes(model)
    return [node.get_friendly_name() for node in nodes if kernel_constant(node).get_element_type().is_real()]


class _Request:
    """A compiled logits model behind the attributes of the engine, for scoring."""

    output: Output = "logits"

    def __init__(self, compiled: ov.CompiledModel, classes: Classes) -> None:
        self.classes = classes
        self.size_hw: tuple[int, int] = tuple(compiled.inputs[0].shape)[1:3]
        self._request = compiled.create_infer_request()

    def infer(self, data: np.ndarray) -> np.ndarray:
        return np.asarray(self._request.infer({INPUT: data.astype(np.float32)})[0])


def _request(model: ov.Model, classes: Classes) -> _Request:
    return _Request(core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), classes)


def _score(model: ov.Model, val: Dataset) -> Scores:
    return evaluate((val[index] for index in range(len(val))), _request(model, val.classes)).scores


def _repaired(model: ov.Model, dataset: Any, images: int, val: Dataset, max_drop: float) -> ov.Model:
    """Quantize and repair, so that at most `max_drop` points of strict mIoU on `val` are lost."""

    def accuracy(compiled: ov.CompiledModel, indices: Iterable[int]) -> float:
        return float(evaluate((val[index] for index in indices), _Request(compiled, val.classes)).scores.miou_strict)

    return repair(model, dataset, images, accuracy, range(len(val)), max_drop=max_drop / 100)


def repair(
    model: ov.Model,
    dataset: Any,
    images: int,
    accuracy: Callable[[ov.CompiledModel, Iterable[int]], float],
    items: Iterable[int],
    *,
    max_drop: float,
) -> ov.Model:
    """Quantize a model in floating point, and put layers back to that until little enough is lost or none is left.

    Args:
        model: the network.
        dataset: of training images, as for `calibrate`.
        images: how many of it to use.
        accuracy: of a compiled model on some of `items`; more is better.
        items: what names the validation images.
        max_drop: how much less accurate the result may be.
    """
    nncf = require_nncf()
    with redirect_stdout(io.StringIO()):
        return nncf.quantize_with_accuracy_control(
            model,
            dataset,
            nncf.Dataset(list(items)),
            lambda compiled, some: (accuracy(compiled, some), None),
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=images,
            advanced_quantization_parameters=_without_overflow(nncf),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(ranking_subset_size=_RANKING_IMAGES),
        )
