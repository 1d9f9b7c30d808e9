import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from icnet.base.errors import ModelError, UsageError
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights, save_weights
from icnet.runtime import engine as module
from icnet.runtime.engine import Engine, EngineOptions


@pytest.fixture
def weight_file(tiny, tmp_path) -> Path:
    path = tmp_path / "some weights.safetensors"
    save_weights(path, random_weights(tiny, seed=1))
    return path


def save(network: ov.Model, path: Path) -> Path:
    ov.save_model(network, path, compress_to_fp16=False)
    return path


def data(seed: int = 0, size_hw: tuple[int, int] = (96, 128)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, *size_hw, 3), dtype=np.uint8)


def test_weight_file_gives_logits_at_its_own_size(weight_file):
    engine = Engine(weight_file, EngineOptions(threads=1))
    assert (engine.name, engine.output, engine.size_hw) == ("tiny", "logits", (96, 128))
    raw = engine.infer(data())
    assert raw.shape == (1, 12, 24, 32)
    assert raw.dtype == np.float32


def test_another_size_only_where_the_strides_allow_it(weight_file):
    assert Engine(weight_file, EngineOptions(size_hw=(64, 96))).infer(data(0, (64, 96))).shape == (1, 12, 16, 24)
    with pytest.raises(UsageError, match="multiples of 16"):
        Engine(weight_file, EngineOptions(size_hw=(60, 96)))


@pytest.mark.parametrize(("output", "shape"), [("logits", (1, 12, 24, 32)), ("soft", (1, 12, 96, 128)), ("index", (1, 96, 128))])
def test_ir_of_each_output(tiny, tmp_path, output, shape):
    path = save(openvino_model(random_weights(tiny), output=output), tmp_path / f"my {output}.xml")
    engine = Engine(str(path))
    assert (engine.name, engine.output, engine.size_hw) == (f"my {output}", output, (96, 128))
    assert engine.infer(data()).shape == shape
    with pytest.raises(UsageError, match="takes only 96x128"):
        Engine(path, EngineOptions(size_hw=(64, 96)))


def test_results_belong_to_the_caller(weight_file):
    engine = Engine(weight_file)
    first = engine.infer(data(0))
    kept = first.copy()
    assert not np.array_equal(engine.infer(data(1)), kept)
    assert np.array_equal(first, kept)


def test_threads_may_share_an_engine(weight_file):
    engine = Engine(weight_file)
    alone = [engine.infer(data(seed)) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: engine.infer(data(seed)), range(8)))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


class Watched:
    """A request of the engine that tells how many of its kind are at work, and waits until it may end."""

    def __init__(self, inside, may_end):
        self.inside, self.may_end = inside, may_end

    def infer(self, inputs, share_inputs):
        self.inside.release()
        assert self.may_end.wait(10)
        return [np.zeros(1)]


def test_calls_run_side_by_side_and_a_stream_waits_for_them(weight_file):
    engine = Engine(weight_file)
    real, inside, may_end = list(engine._free), threading.Semaphore(0), threading.Event()
    engine._free.clear()
    engine._free.extend([Watched(inside, may_end), Watched(inside, may_end)])
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(engine.infer, data(seed)) for seed in range(3)]
        assert inside.acquire(timeout=10)
        assert inside.acquire(timeout=10)
        assert not inside.acquire(timeout=0.1), "more than there are requests"
        stream = pool.submit(lambda: list(engine.stream(range(3), data)))
        while not engine._streaming:
            time.sleep(0.001)
        with pytest.raises(UsageError, match="exhaust or close"):
            engine.infer(data())
        assert not stream.done()
        with engine._change:
            engine._requests[:] = real
        may_end.set()
        assert len(stream.result(10)) == 3
        for call in calls:
            call.result(10)
    assert engine.infer(data()).shape == (1, 12, 24, 32)


def test_refuses_missing_and_damaged_models(tmp_path):
    with pytest.raises(ModelError, match="unknown model 'nonsense'"):
        Engine("nonsense")
    with pytest.raises(ModelError, match="no model file at"):
        Engine(tmp_path / "none.xml")
    (tmp_path / "half.xml").write_text("<net/>")
    with pytest.raises(ModelError, match=r"half\.bin must lie"):
        Engine(tmp_path / "half.xml")
    (tmp_path / "half.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="not a readable OpenVINO model") as caught:
        Engine(tmp_path / "half.xml")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="threads"):
        EngineOptions(threads=0)


def foreign(layout: list[int], name: str, output: str) -> ov.Model:
    parameter = ops.parameter(layout, np.float32)
    parameter.output(0).set_names({name})
    result = ops.relu(parameter)
    result.output(0).set_names({output})
    return ov.Model([ops.result(result)], [parameter], "foreign")


@pytest.mark.parametrize(
    ("layout", "name", "output"),
    [
        ([1, 64, 96, 3], "data", "probabilities"),
        ([1, 64, 96, 3], "image", "soft"),
        ([1, 3, 64, 96], "data", "soft"),
        ([1, -1, -1, 3], "data", "soft"),
        ([1, 64, 96, 3], "data", "index"),
    ],
)
def test_refuses_an_ir_of_another_contract(tmp_path, layout, name, output):
    path = save(foreign(layout, name, output), tmp_path / "foreign.xml")
    with pytest.raises(ModelError, match="expected one input 'data'") as caught:
        Engine(path)
    assert "\n" not in str(caught.value)


def test_streams_in_order_and_passes_items_without_an_image(weight_file):
    engine = Engine(weight_file, EngineOptions(streams=2))
    images = {number: data(number) for number in range(7) if number not in (0, 3, 4)}
    alone = {number: engine.infer(image) for number, image in images.items()}
    seen = []
    for number, raw in engine.stream(range(7), images.get):
        seen.append(number)
        assert (raw is None) == (number not in images)
        if raw is not None:
            assert np.array_equal(raw, alone[number])
    assert seen == list(range(7))


def test_a_stream_takes_few_images_ahead(weight_file):
    engine = Engine(weight_file, EngineOptions(streams=2))
    taken = []
    stream = engine.stream(range(50), lambda number: taken.append(number) or data(number))
    next(stream)
    assert len(taken) <= 4
    stream.close()
    assert engine.infer(data()).shape == (1, 12, 24, 32), "a closed stream leaves the engine free"


def test_an_error_while_streaming_leaves_the_engine_free(weight_file):
    engine = Engine(weight_file)

    def broken(number: int) -> np.ndarray:
        if number == 2:
            raise KeyError("no such picture")
        return data(number)

    with pytest.raises(KeyError):
        list(engine.stream(range(5), broken))
    assert engine.infer(data()).shape == (1, 12, 24, 32)


def test_items_without_an_image_do_not_pile_up(weight_file):
    engine, taken = Engine(weight_file), []
    stream = engine.stream(range(1000), lambda number: taken.append(number) or (data() if number == 0 else None))
    assert next(stream)[0] == 0
    assert len(taken) <= 4
    stream.close()


def test_an_open_stream_is_told_instead_of_waiting_for_ever(weight_file):
    engine = Engine(weight_file)
    stream = engine.stream(range(3), data)
    next(stream)
    with pytest.raises(UsageError, match="exhaust or close"):
        engine.infer(data())
    with pytest.raises(UsageError, match="exhaust or close"):
        next(engine.stream(range(3), data))
    assert [number for number, _ in stream] == [1, 2]
    assert engine.infer(data()).shape == (1, 12, 24, 32)


@pytest.mark.parametrize(
    ("asked", "share", "threads", "pinned"), [(None, 8, None, None), (None, 2, "2", False), (3, 2, "3", False), (8, 2, "8", None)]
)
def test_threads_are_those_of_the_container_unless_asked_for(weight_file, monkeypatch, asked, share, threads, pinned):
    seen = []
    real = module.core

    class Core:
        def compile_model(self, network, device, settings):
            seen.append(settings)
            return real().compile_model(network, device, {})

    monkeypatch.setattr(module, "core", Core)
    monkeypatch.setattr(module, "visible_cores", lambda: 8)
    monkeypatch.setattr(module, "available_cores", lambda: share)
    Engine(weight_file, EngineOptions(threads=asked))
    assert seen[0].get("INFERENCE_NUM_THREADS") == threads
    assert seen[0].get("ENABLE_CPU_PINNING") is pinned
