import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.measure import benchmark as speed
from icnet.measure.benchmark import BenchmarkOptions, Entry
from icnet.network.graph import convolutions

FRAME = np.random.default_rng(0).integers(0, 256, (80, 112, 3), dtype=np.uint8)


@pytest.fixture
def sleepers(monkeypatch) -> list[str]:
    """Entries of known times, by a clock of our own, in place of networks; the order of the calls."""
    calls: list[str] = []
    now = [0.0]

    def sleeper(name: str, seconds: float, spec=None) -> Entry:
        def call() -> None:
            calls.append(name)
            now[0] += seconds

        return Entry(name, "", call, spec, trained=name != "reference")

    def entries(frame, options, report):
        return [sleeper("reference", 0.02), sleeper("quick", 0.005), sleeper("slow", 0.04)], {"missing": "not installed"}

    monkeypatch.setattr(speed, "_entries", entries)
    monkeypatch.setattr(speed, "_product_call", lambda *, int8, threads: sleeper("int8" if int8 else "fp32", 0.1).call)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return calls


def test_everything_has_its_turn_in_every_round(sleepers):
    speed.benchmark(FRAME, options=BenchmarkOptions(rounds=3, calls=2))
    names = ("reference", "quick", "slow", "fp32", "int8")
    assert sleepers == [name for _ in range(3) for name in names for _ in range(3)]  # one call of three is not timed


def test_medians_and_ratios(sleepers):
    result = speed.benchmark(FRAME, options=BenchmarkOptions(rounds=10, calls=2))
    reference, quick, slow = result.timings
    assert result.reference is reference
    assert [timing.median_ms for timing in result.timings] == pytest.approx([20, 5, 40])
    assert [timing.ratio for timing in result.timings] == pytest.approx([1, 4, 0.5])
    assert quick.p90_ms == pytest.approx(5)
    assert slow.spread == pytest.approx(0, abs=1e-9)
    assert not reference.trained
    assert result.ceiling == pytest.approx({name: 2 * speed._MATRIX**3 / 1e9 / 0.1 for name in ("fp32", "int8")})
    assert result.left_out == {"missing": "not installed"}


def test_few_rounds_give_no_ratio(sleepers):
    result = speed.benchmark(FRAME, options=BenchmarkOptions(rounds=speed.MIN_ROUNDS - 1, calls=1))
    assert [timing.ratio for timing in result.timings] == [None, None, None]


def test_a_ratio_that_spreads_is_not_stated():
    reference = np.full(20, 1.0)
    steady = np.linspace(0.45, 0.55, 20)[:, np.newaxis]
    wild = np.linspace(0.4, 0.6, 20)[:, np.newaxis]
    entry = Entry("x", "", lambda: None)
    assert speed._timing(entry, steady, reference).ratio == pytest.approx(2, rel=0.02)
    timing = speed._timing(entry, wild, reference)
    assert timing.ratio is None
    assert timing.spread > speed.MAX_SPREAD


def test_one_hiccup_does_not_hide_a_ratio():
    seconds = np.full((20, 3), 0.5)
    seconds[::4, 1] = 5
    assert speed._timing(Entry("x", "", lambda: None), seconds, np.full(20, 1.0)).ratio == 2


def test_operations_are_those_of_the_network(weights):
    timing = speed._timing(Entry("x", "", lambda: None, weights.spec), np.full((4, 3), 0.5), np.full(4, 0.5))
    assert timing.gflops == pytest.approx(4 * sum(conv.multiply_adds for conv in convolutions(weights.spec)) / 1e9)


def test_the_document_is_json_and_tells_the_machine(sleepers):
    document = json.loads(json.dumps(speed.benchmark(FRAME, options=BenchmarkOptions(rounds=1, calls=1)).to_dict()))
    assert document["machine"]["cores"] >= document["machine"]["threads"] >= 1
    assert document["machine"]["processor"]
    assert {"icnet", "openvino", "python"} <= document["versions"].keys()
    assert document["reference"] == "reference"
    assert [timing["name"] for timing in document["timings"]] == ["reference", "quick", "slow"]


EXACT_INT8 = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}


@pytest.mark.parametrize(("int8", "precision"), [(False, "f32"), (True, "i8")])
def test_the_products_are_computed_in_the_format_they_are_named_after(int8, precision):
    compiled = speed._compiled(speed._product(int8=int8), 1)
    kinds = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kinds[info["layerType"].astype(str)] = info["runtimePrecision"].astype(str)
    (found,) = (value for kind, value in kinds.items() if kind.startswith(("FullyConnected", "MatMul")))
    assert found == precision
    left = np.random.default_rng(2).uniform(-1, 1, (speed._MATRIX, speed._MATRIX)).astype(np.float32)
    right = np.random.default_rng(0).uniform(-1, 1, (speed._MATRIX, speed._MATRIX)).astype(np.float32)
    error = np.abs(compiled([left])[0][:8] - left[:8] @ right.T).max()
    if int8 and not EXACT_INT8 & set(speed.machine(1)["instructions"]):
        assert error > 0.6, "sums of two products saturate on such CPUs"
    else:
        assert error < (0.6 if int8 else 1e-2)


@pytest.mark.parametrize("name", ["rounds", "calls", "threads"])
def test_impossible_options(name):
    with pytest.raises(UsageError, match=name):
        BenchmarkOptions(**{name: 0})


def test_networks_that_cannot_be_measured_are_left_out(weights, monkeypatch):
    """The real entries, but for a tiny network in place of the dense one."""
    monkeypatch.setattr(speed, "DENSE", dataclasses.replace(weights.spec, size_hw=(720, 960)))
    for name in ("nncf", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    frame = np.zeros((720, 960, 3), np.uint8)
    entries, left_out = speed._entries(frame, BenchmarkOptions(threads=1), lambda text: None)
    assert set(left_out) == {"dense int8", "dense fp32, ONNX", "compact int8"}
    assert all("pip install" in reason for reason in left_out.values())
    names = ["dense fp32", "compact fp32", "lite fp32", "lite int8", "lite int8, Segmenter"]
    assert [entry.name for entry in entries] == names
    assert [entry.trained for entry in entries] == [False, True, True, True, True]
    results = [entry.call() for entry in entries]
    assert all(result[0].shape == (1, 720, 960) for result in results[:-1])
    agreeing = results[3][0][0] == results[4].classes
    assert agreeing.mean() > 0.999, "the same network, decoded in the graph and outside"


def test_all_networks_where_everything_is_installed(weights, monkeypatch):
    pytest.importorskip("nncf")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    spec = dataclasses.replace(weights.spec, size_hw=(720, 960))
    monkeypatch.setattr(speed, "DENSE", spec)
    monkeypatch.setattr(speed, "find_weights", lambda name: dataclasses.replace(weights, spec=spec))
    entries, left_out = speed._entries(np.zeros((720, 960, 3), np.uint8), BenchmarkOptions(), lambda text: None)
    assert not left_out
    names = ["dense fp32", "dense int8", "dense fp32, ONNX"]
    assert [entry.name for entry in entries][:3] == names
    assert all(entry.spec == spec and not entry.trained for entry in entries[:3])
    for entry in entries[:3]:
        assert entry.call()[0].shape == (1, 720, 960)
