import dataclasses

import cv2
import numpy as np
import pytest
from tiny_network import SMALL, Blocks

from icnet.base.sample import Sample
from icnet.deploy.openvino import described, save_ir
from icnet.evaluation.accuracy import evaluate
from icnet.evaluation.temperature import COLDEST, HOTTEST, fit_temperature, recalibrated
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import load_weights, random_weights, save_weights
from icnet.runtime.engine import Engine


def drawn(temperature: float, count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax at `temperature`."""
    generator = np.random.default_rng(0)
    logits = 4 * generator.standard_normal((count, 5)).astype(np.float32)
    noise = generator.gumbel(size=logits.shape)
    return logits, np.argmax(logits / temperature + noise, axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_it_finds_the_temperature_that_the_labels_were_drawn_at(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_no_fit_runs_away():
    logits, _ = drawn(1)
    assert fit_temperature(logits, logits.argmax(axis=1)) == pytest.approx(COLDEST, rel=0.01)
    assert fit_temperature(logits, logits.argmin(axis=1)) == pytest.approx(HOTTEST, rel=0.01)
    assert fit_temperature(logits[:0], np.zeros(0, int)) == 1


class Drawn(Blocks):
    """Pictures whose labels are drawn from a network's probabilities at temperature 3."""

    def __init__(self, engine: Engine):
        super().__init__(4, size_hw=SMALL.size_hw)
        self.engine = engine

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        logits = self.engine.infer(sample.image[np.newaxis])[0, :11]
        noise = np.random.default_rng(index).gumbel(size=logits.shape)
        labels = np.argmax(logits / 3 + noise, axis=0).astype(np.uint8)
        return dataclasses.replace(sample, labels=cv2.resize(labels, SMALL.size_hw[::-1], interpolation=cv2.INTER_NEAREST))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Random weights, and the same with the temperature that fits `Drawn`."""
    folder, weights = tmp_path_factory.mktemp("temperature"), random_weights(SMALL, seed=4)
    weights.tensors["classifier/kernel"] *= 2
    save_weights(folder / "raw.safetensors", weights)
    weights = load_weights(folder / "raw.safetensors")
    engine = Engine(folder / "raw.safetensors")
    save_weights(folder / "fitted.safetensors", recalibrated(weights, Drawn(engine), engine))
    return folder


def infer(path, image) -> np.ndarray:
    return Engine(path).infer(image)


def test_confidence_fits_afterwards_and_no_class_changes(files):
    drawn = Drawn(Engine(files / "raw.safetensors"))
    samples = [drawn[index] for index in range(4)]
    raw, fitted = (evaluate(samples, Engine(files / f"{name}.safetensors")) for name in ("raw", "fitted"))
    assert load_weights(files / "fitted.safetensors").about["temperature"] == pytest.approx(3, rel=0.15)
    assert fitted.reliability.error < raw.reliability.error / 2
    assert abs(fitted.scores.miou_strict - raw.scores.miou_strict) < 1e-3


def test_every_engine_and_exported_file_has_it(files, tmp_path):
    reference = pytest.importorskip("icnet.evaluation.reference")
    weights = load_weights(files / "fitted.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (1, *SMALL.size_hw, 3)).astype(np.uint8)
    expected = infer(files / "raw.safetensors", image) / weights.about["temperature"]
    found = {"weights": infer(files / "fitted.safetensors", image), "keras": reference.keras_network(weights).infer(image)}
    found["torch"] = reference.TorchNetwork(weights).infer(image)
    for half in (False, True):
        path = tmp_path / f"{half}.xml"
        save_ir(openvino_model(weights, half=half), path, described(weights), weights.spec.classes)
        found[f"half {half}"] = infer(path, image)
    for name, logits in found.items():
        np.testing.assert_allclose(logits, expected, atol=2e-3 * np.abs(expected).max(), err_msg=name)


def test_a_second_fit_goes_on_from_the_first(files):
    weights = load_weights(files / "fitted.safetensors")
    again = recalibrated(weights, Drawn(Engine(files / "raw.safetensors")), Engine(files / "fitted.safetensors"))
    assert again.about["temperature"] == pytest.approx(weights.about["temperature"], rel=1e-3)


@pytest.mark.parametrize("told", ["hot", None, 0, -1, float("nan"), float("inf")])
def test_nonsense_in_a_file_is_left_alone(told):
    weights = random_weights(SMALL)
    odd = dataclasses.replace(weights, about={"temperature": told})
    from icnet.network.weights import fold

    for name, conv in fold(odd).items():
        np.testing.assert_array_equal(conv.scale, fold(weights)[name].scale)
        np.testing.assert_array_equal(conv.bias, fold(weights)[name].bias)
