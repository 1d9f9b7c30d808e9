import dataclasses

import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.network import spec as specs
from icnet.network.graph import convolutions
from icnet.network.keras_model import build
from icnet.network.keras_weights import set_weights
from icnet.network.weights import expected_shapes, load_weights
from icnet.training.learner import Learner
from icnet.training.recipe import Pruning, Recipe
from icnet.training.trainer import RunOptions, Trainer

RECIPE = Recipe(epochs=4, batch_size=2, crop_hw=(64, 96), learning_rate=1e-3, warmup_steps=1, ema_momentum=0.5)
WEIGHTS = dataclasses.replace(RECIPE, pruning=Pruning(0.6, begin=0.25, end=0.75, every=1))


@pytest.fixture
def make(tiny, blocks, tmp_path, eager):
    def _make(folder="run", *, recipe=WEIGHTS):
        return Trainer(Learner(tiny, recipe, blocks(4), blocks(1, seed=9)), tmp_path / folder)

    return _make


def _zeros(weights) -> tuple[int, int]:
    """Zeros and all, of the kernels in the inference graph."""
    kernels = [weights.tensors[f"{conv.name}/kernel"] for conv in convolutions(weights.spec)]
    return sum(int((kernel == 0).sum()) for kernel in kernels), sum(kernel.size for kernel in kernels)


def test_zeros_grow_by_the_schedule_to_the_exact_number(make):
    trainer = make()
    zeros = []
    trainer.run(RunOptions(validate_every=9), on_step=lambda report: zeros.append(_count(trainer)) or True)
    total = sum(conv.kernel_weights for conv in convolutions(trainer.learner.spec))
    # From step 2 to 6 of 8: 0.6 * (1 - (1 - k / 4) ** 3), one step late as the report of a step precedes its pruning.
    expected = [round(total * 0.6 * (1 - max(0, min(1, (6 - step) / 4)) ** 3)) for step in range(1, 9)]
    assert zeros == pytest.approx(expected, abs=1)
    for name in ("best", "last"):
        found, counted = _zeros(load_weights(trainer.folder / f"{name}.safetensors"))
        assert (found, counted) == (round(0.6 * total), total)
    heads = load_weights(trainer.folder / "last.safetensors").tensors
    assert all((heads[f"auxiliary_{part}/kernel"] != 0).all() for part in ("eighth", "sixteenth"))


def _count(trainer) -> int:
    trainer.learner.sync()
    layers = (trainer.learner.model.get_layer(conv.name) for conv in convolutions(trainer.learner.spec))
    return sum(int((np.asarray(layer.kernel_mask) == 0).sum()) for layer in layers)


def test_removed_weights_stay_removed_and_a_resumed_run_is_the_same(make):
    make("whole").run(RunOptions(validate_every=9))
    make("part").run(RunOptions(validate_every=9), on_step=lambda report: report.step < 5)
    assert not (make("part").folder / "best.safetensors").exists()  # nothing is best before all is removed
    rest = make("part")
    rest.run(RunOptions(resume=True, validate_every=9))
    whole, again = (load_weights(rest.folder.parent / folder / "last.safetensors").tensors for folder in ("whole", "part"))
    for name in whole:
        np.testing.assert_array_equal(whole[name] == 0, again[name] == 0, err_msg=name)
        np.testing.assert_allclose(whole[name], again[name], atol=2e-3, err_msg=name)


@pytest.fixture
def narrow(tiny, monkeypatch):
    spec = dataclasses.replace(
        tiny, name="narrow", stem=(8, 4, 8), stage2=(4, 4), stage3=(2, 16), stage4=(4, 16), pyramid=8, detail=(4, 8, 4), fusion=8
    )
    monkeypatch.setitem(specs.PRESETS, "narrow", spec)
    return spec


def test_channels_end_at_the_widths_asked_for_and_the_narrow_network_agrees(make, narrow):
    pruning = Pruning(0.6, granularity="channel", widths="narrow", begin=0.0, end=0.5, every=1)
    trainer = make(recipe=dataclasses.replace(RECIPE, pruning=pruning))
    trainer.run(RunOptions(validate_every=9))
    wide, compact = (load_weights(trainer.folder / f"{name}.safetensors") for name in ("last", "compact-last"))
    shapes = expected_shapes(narrow, auxiliary=True)
    assert {name: tensor.shape for name, tensor in compact.tensors.items() if name in shapes and "auxiliary" not in name} == {
        name: shape for name, shape in shapes.items() if "auxiliary" not in name
    }
    assert _zeros(wide)[0] == _zeros(wide)[1] - sum(conv.kernel_weights for conv in convolutions(narrow))
    image = np.random.default_rng(3).uniform(0, 255, (1, 96, 128, 3)).astype(np.float32)
    outputs = []
    for weights in (wide, compact):
        model = build(weights.spec)
        set_weights(model, weights)
        outputs.append(model.predict_on_batch(image))
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-4)


def test_widths_that_do_not_fit_are_refused(make):
    pruning = Pruning(granularity="channel", widths=specs.DENSE.name)
    with pytest.raises(UsageError, match="to keep"):
        make(recipe=dataclasses.replace(RECIPE, pruning=pruning))
