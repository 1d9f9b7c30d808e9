import dataclasses
import json

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from icnet.base.errors import ModelError, UsageError
from icnet.deploy import omz, quantize
from icnet.deploy.openvino import ExportOptions, export
from icnet.deploy.quantize import Quantized, QuantizeOptions
from icnet.evaluation.accuracy import predict
from icnet.network.openvino_model import kernel_constant
from icnet.network.stored import read_stored
from icnet.network.weights import kernel_zeros
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts
from icnet.runtime.ir import read_about, read_ir

pytest.importorskip("nncf", reason="quantizing needs NNCF")
yaml = pytest.importorskip("yaml")

ANY = QuantizeOptions(max_drop=100, images=4)
INT8 = ExportOptions(precisions=("int8",), outputs=("index", "soft", "logits"))


@pytest.fixture(scope="module")
def quantized(weights, blocks) -> Quantized:
    return quantize.quantize(weights, blocks(6), blocks(3, seed=1), options=ANY)


@pytest.fixture(scope="module")
def exported(weights, frames, quantized, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    return folder, export(weights, folder, frames, options=INT8, quantized=quantized)


def test_kernels_and_activations_are_in_eight_bits(exported):
    for ir in exported[1]:
        model = ov.Core().read_model(ir.path)
        convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
        assert convolutions
        assert quantize.float_convolutions(model) == []
        largest = max(np.abs(kernel_constant(node).data.astype(int)).max() for node in convolutions)
        assert largest == 64, "half of the range, so that two products fit into sixteen bits on CPUs without VNNI"
        given = [node.input_value(0).get_node().get_type_name() for node in convolutions]
        assert set(given) == {"FakeQuantize", "MaxPool"}, "a maximum of quantized values is one of them"
        assert ir.path.parent.name == "FP16-INT8"


def test_a_floating_point_model_is_told_from_it(weights):
    from icnet.network.graph import convolutions
    from icnet.network.openvino_model import openvino_model

    names = {conv.name for conv in convolutions(weights.spec)}
    for half in (False, True):
        assert set(quantize.float_convolutions(openvino_model(weights, half=half))) == names


def test_every_output_gives_the_same_classes(exported, frames, quantized):
    engines = [Engine(ir.path) for ir in exported[1]]
    assert [engine.output for engine in engines] == ["index", "soft", "logits"]
    for frame, expected in zip(frames, quantized.classes(frames), strict=True):
        assert len(np.unique(expected)) > 3, "the comparison needs several classes"
        for engine in engines:
            assert (predict(engine, frame, engine.size_hw) != expected).mean() < 2e-3


def test_the_file_and_its_description_tell_how_it_was_made(exported, quantized):
    folder, written = exported
    for ir in written:
        about = read_about(read_ir(read_stored(ir.path)))
        assert about["miou_strict"] == quantized.miou_strict
        told = about["quantization"]
        assert (told["images"], told["of"], told["seed"], told["miou_strict_before"]) == (4, 6, 0, quantized.miou_float)
        assert len(set(told["names"])) == 4
        assert told["float_layers"] == []
        assert model_facts(str(ir.path)).about["miou_strict"] == quantized.miou_strict
    text = yaml.safe_load((folder / "tiny" / omz.MODEL_YML).read_text())["description"]
    assert "calibrated on 4 of 6 training images (seed 0; NNCF" in text


def test_pruned_weights_stay_zero(weights, frames, blocks, tmp_path):
    tensors = {
        name: np.where(np.abs(array) < np.median(np.abs(array)), 0, array).astype(np.float32)
        if name.endswith("/kernel")
        else array
        for name, array in weights.tensors.items()
    }
    sparse = dataclasses.replace(weights, tensors=tensors)
    made = quantize.quantize(sparse, blocks(4), blocks(1), options=ANY)
    (ir,) = export(sparse, tmp_path, frames, options=dataclasses.replace(INT8, outputs=("index",)), quantized=made)
    assert ir.kernel_zeros >= kernel_zeros(sparse)


@pytest.fixture
def unquantized(monkeypatch) -> None:
    """What comes before and after NNCF is tested, which takes a second."""
    monkeypatch.setattr(quantize, "calibrate", lambda model, dataset, images: model)


def test_the_choice_of_images_follows_the_seed(weights, blocks, unquantized):
    names = [
        quantize.quantize(weights, blocks(30), blocks(1), options=dataclasses.replace(ANY, images=3, seed=seed)).calibration[
            "names"
        ]
        for seed in (1, 1, 2)
    ]
    assert names[0] == names[1] != names[2]


class Guarded:
    """Scores that the guard is given, in the order in which it asks: before, after, after the repair."""

    def __init__(self, *scores: float):
        self.left = list(scores)

    def __call__(self, model, val):
        from icnet.evaluation.scores import Scores

        value = self.left.pop(0)
        return Scores(miou_strict=value, miou_omz=value, iou={}, pixel_accuracy=value, given_up=0, void_found=0)


def test_a_model_within_the_guard_is_not_repaired(weights, blocks, monkeypatch, unquantized):
    monkeypatch.setattr(quantize, "_score", Guarded(0.68, 0.6751))
    monkeypatch.setattr(quantize, "_repaired", lambda *_: pytest.fail("there is nothing to repair"))
    made = quantize.quantize(weights, blocks(2), blocks(1), options=QuantizeOptions(max_drop=0.5, images=2))
    assert made.drop == pytest.approx(0.49)


def test_a_model_that_misses_the_guard_is_repaired(weights, blocks, monkeypatch, unquantized):
    repaired = []
    monkeypatch.setattr(quantize, "_score", Guarded(0.68, 0.6749, 0.679))
    monkeypatch.setattr(quantize, "_repaired", lambda model, *rest: repaired.append(rest[-1]) or model)
    made = quantize.quantize(weights, blocks(2), blocks(1), options=QuantizeOptions(max_drop=0.5, images=2))
    assert repaired == [0.5]
    assert made.drop == pytest.approx(0.1)
    assert made.float_layers, "the stand-in for the repaired model is in floating point"


@pytest.mark.parametrize("after", [0.67, float("nan")])
def test_a_model_that_cannot_be_repaired_is_refused(weights, blocks, monkeypatch, unquantized, after):
    monkeypatch.setattr(quantize, "_score", Guarded(0.68, after, after))
    monkeypatch.setattr(quantize, "_repaired", lambda model, *_: model)
    with pytest.raises(ModelError, match=r"strict mIoU instead of 68\.00%.*nothing was written") as caught:
        quantize.quantize(weights, blocks(2), blocks(1), options=QuantizeOptions(max_drop=0.5, images=2))
    assert "\n" not in str(caught.value)


def fake_quantizers(model: ov.Model) -> int:
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def three_convolutions() -> ov.Model:
    """NNCF's search takes a step for each layer, so it has few."""
    generator, data = np.random.default_rng(0), ops.parameter([1, 3, 32, 48], np.float32, name="data")
    node = ops.multiply(data, np.float32(1 / 255))
    for layer, (inputs, outputs) in enumerate(((3, 8), (8, 8), (8, 12))):
        kernel = generator.normal(0, 1 / (9 * inputs) ** 0.5, (outputs, inputs, 3, 3)).astype(np.float32)
        node = ops.convolution(node, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1], name=f"conv{layer}")
        node = ops.relu(node) if layer < 2 else node
    return ov.Model([ops.result(node)], [data], "three")


def test_the_repair_puts_layers_back():
    """NNCF's own search; the accuracy is the share of pixels that keep their class."""
    nncf = quantize.require_nncf()
    frame = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 48)).astype(np.float32)

    def compiled(model: ov.Model) -> ov.CompiledModel:
        return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def agreement(network: ov.CompiledModel, _: object = None) -> float:
        return float((network({"data": frame})[0].argmax(axis=1) == expected).mean())

    expected = compiled(three_convolutions())({"data": frame})[0].argmax(axis=1)
    dataset = nncf.Dataset([frame, frame[..., ::-1].copy()])
    quantized = quantize.calibrate(three_convolutions(), dataset, 2)
    lost = 1 - agreement(compiled(quantized))
    assert lost > 0.001, "the test needs a model that loses something"
    repaired = quantize.repair(three_convolutions(), dataset, 2, agreement, [0], max_drop=lost / 2)
    assert 1 - agreement(compiled(repaired)) <= lost / 2
    assert 0 < fake_quantizers(repaired) < fake_quantizers(quantized)


@pytest.mark.parametrize(
    ("values", "text"), [({"max_drop": -0.1}, "drop"), ({"max_drop": float("nan")}, "drop"), ({"images": 0}, "1 image")]
)
def test_impossible_options(values, text):
    with pytest.raises(UsageError, match=text):
        QuantizeOptions(**values)


def test_without_nncf(weights, blocks, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UsageError, match=r"NNCF.*icnet\[export\]"):
        quantize.quantize(weights, blocks(1), blocks(1))


def test_facts_are_json(quantized):
    assert json.loads(json.dumps(quantized.calibration)) == quantized.calibration
