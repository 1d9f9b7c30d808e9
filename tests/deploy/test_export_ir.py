import dataclasses
import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import ModelError, OutputError, UsageError
from icnet.deploy import openvino as exporter
from icnet.deploy.openvino import ExportOptions, export
from icnet.evaluation.accuracy import predict
from icnet.evaluation.reference import keras_network
from icnet.network.weights import kernel_zeros
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts

pytest.importorskip("keras", reason="exports are compared with Keras")
yaml = pytest.importorskip("yaml")

FP32 = ExportOptions(precisions=("fp32",))


@pytest.fixture(scope="module")
def exported(weights, frames, tmp_path_factory) -> tuple[Path, list[exporter.ExportedIr]]:
    folder = tmp_path_factory.mktemp("models")
    told = dataclasses.replace(weights, about={"miou_omz": 0.75794})
    return folder, export(told, folder, frames)


def test_layout(exported):
    folder, written = exported
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    irs = [
        f"{name}/{precision}/{name}.{suffix}"
        for name in ("tiny", "tiny-soft")
        for precision in ("FP16", "FP32")
        for suffix in ("bin", "xml")
    ]
    assert files == sorted([*irs, "tiny/accuracy-check.yml", "tiny/model.yml", "tiny-soft/model.yml"])
    assert [(ir.output, ir.precision) for ir in written] == [(o, p) for o in ("index", "soft") for p in ("fp32", "fp16")]
    assert all(ir.path.is_file() and ir.changed <= exporter.MAX_CHANGED for ir in written)


def test_every_ir_gives_the_classes_of_keras(exported, weights, frames):
    reference = keras_network(weights)
    for ir in exported[1]:
        engine = Engine(ir.path)
        for frame in frames:
            expected = predict(reference, frame, (80, 112))
            assert len(np.unique(expected)) > 3, "the comparison needs several classes"
            assert (predict(engine, frame, (80, 112)) != expected).mean() <= 2 * exporter.MAX_CHANGED


def test_contract_of_the_files(exported):
    for ir in exported[1]:
        model = ov.Core().read_model(ir.path)
        (source,), (result,) = model.inputs, model.outputs
        assert source.names == {"data"}
        assert list(source.shape) == [1, 80, 112, 3]
        assert source.node.layout == ov.Layout("NHWC")
        assert result.names == {ir.output}
        assert list(result.shape) == ([1, 80, 112] if ir.output == "index" else [1, 12, 80, 112])
        info = {key: model.get_rt_info(["model_info", key]).astype(str) for key in exporter.model_info(CAMVID)}
        assert info["model_type"] == "Segmentation"
        assert info["labels"].split() == list(CAMVID.names)
        assert info["reverse_input_channels"] == "False"
        assert info["resize_type"] == "standard"


def test_half_precision_halves_the_file(exported):
    sizes = {(ir.output, ir.precision): ir.path.with_suffix(".bin").stat().st_size for ir in exported[1]}
    for output in ("index", "soft"):
        assert sizes[output, "fp16"] < 0.6 * sizes[output, "fp32"]


def test_model_yml_describes_the_files(exported):
    for name in ("tiny", "tiny-soft"):
        folder = exported[0] / name
        document = yaml.safe_load((folder / "model.yml").read_text())
        assert document["task_type"] == "semantic_segmentation"
        assert document["framework"] == "dldt"
        assert "75.79%" in document["description"]
        assert "sparsity" not in document["description"]
        assert len(document["files"]) == 4
        for entry in document["files"]:
            data = (folder / entry["name"]).read_bytes()
            assert entry["size"] == len(data)
            assert entry["checksum"] == hashlib.sha384(data).hexdigest()


def test_accuracy_check_yml(exported):
    document = yaml.safe_load((exported[0] / "tiny" / "accuracy-check.yml").read_text())
    (model,) = document["models"]
    assert model["name"] == "tiny"
    assert model["launchers"] == [{"framework": "openvino", "adapter": "segmentation"}]
    (dataset,) = model["datasets"]
    assert dataset["name"] == "CamVid"
    (metric,) = dataset["metrics"]
    assert metric["use_argmax"] is False
    assert metric["ignore_label"] == 11
    assert metric["reference"] == 0.7579


def test_model_api_reads_the_soft_ir_without_configuration(exported, frames):
    models = pytest.importorskip("model_api.models")
    paths = {ir.output: ir.path for ir in exported[1] if ir.precision == "fp32"}
    segmenter = models.Model.create_model(str(paths["soft"]))
    assert isinstance(segmenter, models.SegmentationModel)
    assert list(segmenter.params.labels) == list(CAMVID.names)
    # The same again in float32: left alone, a CPU with bfloat16 rounds differently from the engine.
    adapter = pytest.importorskip("model_api.adapters").OpenvinoAdapter(
        ov.Core(), str(paths["soft"]), device="CPU", plugin_config={"INFERENCE_PRECISION_HINT": "f32"}
    )
    segmenter = models.Model.create_model(adapter)
    index = Engine(paths["index"])
    for frame in frames:
        frame = cv2.resize(frame, (112, 80))  # Model API resizes with another rounding; here the network is compared
        found = segmenter(frame).resultImage
        expected = predict(index, frame, (80, 112))
        assert len(np.unique(expected)) > 3
        assert (found != expected).mean() <= exporter.MAX_CHANGED


def pruned(weights, share: float = 0.6):
    """Every kernel with about `share` of it at zero, and a channel that batch normalisation switches off."""
    generator = np.random.default_rng(6)
    tensors = {
        name: array * (generator.random(array.shape) >= share).astype(np.float32) if name.endswith("/kernel") else array
        for name, array in weights.tensors.items()
    }
    tensors["stem2/gamma"] = tensors["stem2/gamma"].copy()
    tensors["stem2/gamma"][0] = 0
    return dataclasses.replace(weights, tensors=tensors)


def test_zeros_are_those_of_the_weights(weights, frames, tmp_path):
    sparse = pruned(weights)
    expected = kernel_zeros(sparse)
    for ir in export(sparse, tmp_path, frames):
        assert ir.kernel_zeros == expected == model_facts(str(ir.path)).kernel_zeros
    assert "60% weight sparsity" in yaml.safe_load((tmp_path / "tiny" / "model.yml").read_text())["description"]


def test_refuses_an_ir_with_other_zeros(weights, frames, tmp_path, monkeypatch):
    right = exporter.openvino_model

    def one_weight_less(given, **options):
        tensors = {name: array.copy() for name, array in given.tensors.items()}
        smallest = np.abs(np.where(tensors["stem2/kernel"] == 0, np.inf, tensors["stem2/kernel"])).argmin()
        tensors["stem2/kernel"].flat[smallest] = 0
        return right(dataclasses.replace(given, tensors=tensors), **options)

    monkeypatch.setattr(exporter, "openvino_model", one_weight_less)
    with pytest.raises(ModelError, match=r"zeros among its kernel weights instead of .*: nothing was exported"):
        export(pruned(weights), tmp_path, frames, options=FP32)
    assert not list(tmp_path.iterdir())


def corrupted(weights):
    """The same weights with one kernel turned over."""
    tensors = dict(weights.tensors)
    tensors["fusion2_high/kernel"] = -tensors["fusion2_high/kernel"]
    return dataclasses.replace(weights, tensors=tensors)


def test_refuses_a_corrupted_kernel(weights, frames, tmp_path, monkeypatch):
    right = exporter.openvino_model
    monkeypatch.setattr(exporter, "openvino_model", lambda weights, **options: right(corrupted(weights), **options))
    with pytest.raises(ModelError, match="nothing was exported"):
        export(weights, tmp_path / "models", frames, options=FP32)
    assert not list(tmp_path.iterdir()), "nothing may be left behind"


def test_keeps_an_empty_folder_of_the_user(weights, frames, tmp_path, monkeypatch):
    right = exporter.openvino_model
    monkeypatch.setattr(exporter, "openvino_model", lambda weights, **options: right(corrupted(weights), **options))
    with pytest.raises(ModelError, match="nothing was exported"):
        export(weights, tmp_path, frames, options=FP32)
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_missing_yaml_is_told_before_any_work(weights, frames, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    told: list[str] = []
    with pytest.raises(UsageError, match=r"PyYAML.*icnet\[export\]"):
        export(weights, tmp_path / "models", frames, options=FP32, report=told.append)
    assert not told
    assert not list(tmp_path.iterdir())


def test_refuses_a_fault_in_the_soft_ir_only(weights, frames, tmp_path, monkeypatch):
    right = exporter.openvino_model
    monkeypatch.setattr(
        exporter,
        "openvino_model",
        lambda given, **options: right(corrupted(given) if options["output"] == "soft" else given, **options),
    )
    with pytest.raises(ModelError, match="output soft"):
        export(weights, tmp_path / "models", frames, options=FP32)
    assert not list(tmp_path.iterdir())


def test_existing_folders(weights, frames, tmp_path):
    options = ExportOptions(name="mine", precisions=("fp16",))
    export(weights, tmp_path, frames, options=options)
    with pytest.raises(OutputError, match="--overwrite"):
        export(weights, tmp_path, frames, options=options)
    export(weights, tmp_path, frames, options=dataclasses.replace(options, precisions=("fp32",), overwrite=True))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["FP32", "accuracy-check.yml", "model.yml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine-soft"]


def test_a_failed_overwrite_keeps_the_earlier_export(weights, frames, tmp_path, monkeypatch):
    export(weights, tmp_path, frames, options=FP32)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rename = Path.rename

    def fails_at_the_last_folder(self: Path, target: Path) -> Path:
        if target == tmp_path / "tiny-soft" and not self.name.endswith(".old"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_at_the_last_folder)
    with pytest.raises(OutputError, match="No space left"):
        export(weights, tmp_path, frames, options=ExportOptions(precisions=("fp16",), overwrite=True))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_never_replaces_a_folder_of_the_user(weights, frames, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="something else"):
        export(weights, tmp_path, frames, options=dataclasses.replace(FP32, overwrite=True))
    assert (tmp_path / "tiny" / "thesis.txt").read_text() == "precious"


def test_a_file_in_the_way(weights, frames, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="choose another folder"):
        export(weights, tmp_path / "out", frames, options=FP32)
    assert (tmp_path / "out").read_text() == "x"


@pytest.mark.parametrize("name", ["../up", "a b", "", ".hidden"])
def test_refuses_a_name_that_open_model_zoo_cannot_use(weights, frames, tmp_path, name):
    with pytest.raises(UsageError, match="no model name"):
        export(weights, tmp_path, frames, options=ExportOptions(name=name))


def test_refuses_to_export_without_comparison(weights, tmp_path):
    with pytest.raises(UsageError, match="one image"):
        export(weights, tmp_path, [])
