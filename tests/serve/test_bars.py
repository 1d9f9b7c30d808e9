"""The bars of `tools/serve_bars.py`, short and on a tiny network; in full, and on the real one, with `-m whole`."""

import subprocess
import sys

import pytest

import serve_bars
from icnet.network.weights import load_weights
from icnet.runtime.segmenter import Segmenter
from load.drain import drain
from load.hostile import hostile, watched
from load.mixed import mixed
from load.overload import overload
from load.pictures import Pictures, reference
from load.program import program
from load.reload import Versions, reload
from load.results import Figure
from serve_bars import BARS


@pytest.fixture(scope="module")
def tiny_segmenter(weight_file) -> Segmenter:
    return Segmenter(weight_file)


@pytest.fixture(scope="module")
def small() -> Pictures:
    return Pictures(streets=1, sizes_hw=[(96, 128), (60, 80), (75, 100)])


def missed(figures: list[Figure]) -> list[str]:
    """The bars that are missed, but for those that need a quiet machine."""
    assert any(figure.bar for figure in figures)
    wrong = [figure for figure in figures if not figure.met and not figure.speed]
    return ["\n".join([f"{figure.name}: {figure.value}, not {figure.bar}", *figure.details]) for figure in wrong]


def value(figures: list[Figure], beginning: str):
    return next(figure.value for figure in figures if figure.name.startswith(beginning))


def test_mixed_clients_get_what_the_model_alone_gives(tmp_path, weight_file, tiny_segmenter, small):
    with program(tmp_path, "--model", str(weight_file)) as running:
        figures = mixed(running, small, lambda picture: reference(tiny_segmenter, picture), seconds=1.5)
    assert not missed(figures)
    assert value(figures, "requests") >= 16, "one of each client at least"
    assert value(figures, "different class maps") >= 16


def test_another_reference_is_missed(tmp_path, weight_file, small):
    with program(tmp_path, "--model", str(weight_file)) as running:
        figures = mixed(running, small, lambda _: "another", seconds=0.2)
    assert [line.partition(":")[0] for line in missed(figures)] == ["class maps that differ from the serial ones"]


def test_what_is_too_much_is_refused_and_nothing_else_happens(tmp_path, weight_file):
    paint = Pictures(streets=1, sizes_hw=[(720, 960)])
    pictures = [paint(number) for number in range(4)]
    with program(tmp_path, "--model", str(weight_file), "--workers", "1", "--max-queue", "2") as running:
        for rpc in (False, True):
            figures = overload(running, pictures, seconds=1, rpc=rpc, factor=4)
            assert not missed(figures)
            assert value(figures, "answered with") >= 3, "the worker and the queue have that many at any speed"


def test_sigterm_loses_nothing(tmp_path, weight_file, tiny_segmenter, small):
    arguments = ["--model", str(weight_file)]
    assert not missed(drain(tmp_path, arguments, small, lambda one: reference(tiny_segmenter, one), workers=1, times=2))


def test_a_reload_never_mixes_versions(tmp_path, weight_file, small):
    pictures = [small(number) for number in range(6)]
    both = Versions(tmp_path, load_weights(weight_file), pictures)
    with program(tmp_path, "--model", str(both.model)) as running:
        assert not missed(reload(running, both, pictures, times=3))


def test_nothing_hostile_hurts(weight_file, tiny_segmenter, small):
    with watched("--model", str(weight_file), "--header-seconds", "1", "--body-seconds", "1") as (running, room):
        figures = hostile(running, room, small(0), reference(tiny_segmenter, small(0)), cases=50, slow=4, phases="fuzzing")
    assert not missed(figures)


@pytest.mark.whole
@pytest.mark.parametrize("bar", BARS)
def test_in_full(bar):
    """Wants a machine that does nothing else: these are timed, too."""
    result = subprocess.run([sys.executable, serve_bars.__file__, bar], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
