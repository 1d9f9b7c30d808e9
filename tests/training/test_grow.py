import dataclasses

import numpy as np
import pytest
from tiny_network import WIDE

from icnet.base.errors import ModelError
from icnet.network.keras_model import build
from icnet.network.keras_weights import get_weights, set_weights
from icnet.network.weights import random_weights
from icnet.training.grow import NEW_SCALE, grow
from icnet.training.learner import Learner
from icnet.training.recipe import Recipe
from icnet.training.trainer import Trainer


@pytest.fixture
def wide(tiny):
    return dataclasses.replace(WIDE, size_hw=tiny.size_hw)


@pytest.fixture
def narrow(tiny):
    """Weights whose every tensor matters."""
    weights, generator = random_weights(tiny, seed=1), np.random.default_rng(0)
    for name, tensor in weights.tensors.items():
        if not name.endswith("kernel"):
            tensor += generator.uniform(0.1, 0.5, tensor.shape).astype(np.float32)
    return weights


def _logits(weights) -> np.ndarray:
    model = build(weights.spec, auxiliary=True)
    set_weights(model, weights)
    image = np.random.default_rng(3).uniform(0, 255, (1, 96, 128, 3)).astype(np.float32)
    return np.concatenate([np.ravel(head) for head in model.predict_on_batch(image)])


def test_a_grown_network_gives_the_same_outputs(narrow, wide):
    np.testing.assert_allclose(_logits(grow(narrow, wide)), _logits(narrow), rtol=1e-4, atol=1e-4)


def test_new_channels_compute_but_are_not_read(narrow, wide, tiny):
    tensors = grow(narrow, wide, seed=5).tensors
    kernel = tensors["stem3/kernel"]  # from 12 to 16 channels, of which 8 to 8 are old
    np.testing.assert_array_equal(kernel[:, :, :8, :8], narrow.tensors["stem3/kernel"])
    assert not kernel[:, :, 8:, :8].any()
    assert kernel[..., 8:].std() == pytest.approx(NEW_SCALE * np.sqrt(2 / (9 * 12)), rel=0.1)
    assert (tensors["stem3/gamma"][8:] == 1).all()
    assert not np.array_equal(grow(narrow, wide, seed=6).tensors["stem3/kernel"], kernel)


def test_new_channels_learn(narrow, wide, blocks, tmp_path):
    recipe = Recipe(epochs=2, batch_size=2, crop_hw=(64, 96), learning_rate=1e-3, warmup_steps=1)
    trainer = Trainer(Learner(wide, recipe, blocks(4), blocks(1), initial=narrow), tmp_path)
    trainer.learner.objective.models[0].run_eagerly = True  # making a graph takes longer than three steps
    for number in range(3):
        trainer.train_step(*trainer.learner.batches.batch(number))
    trainer.learner.drain()
    trainer.learner.sync()
    tensors = get_weights(trainer.learner.model, wide).tensors
    for name in ("stem3", "stage2_1_shortcut", "stage3_1_reduce", "pyramid_reduce", "fusion2_high", "classifier"):
        old_in, old_out = narrow.tensors[f"{name}/kernel"].shape[2:]
        read = tensors[f"{name}/kernel"][:, :, old_in:, :old_out]
        assert read.size, name
        assert np.mean(read != 0) > 0.5, name


def test_the_same_widths_are_left_alone(narrow, tiny):
    same = grow(narrow, dataclasses.replace(tiny, name="other"))
    assert same.spec.name == "other"
    assert all(np.array_equal(same.tensors[name], narrow.tensors[name]) for name in narrow.tensors)


def test_a_narrower_network_is_refused(narrow, tiny):
    with pytest.raises(ModelError):
        grow(narrow, dataclasses.replace(tiny, fusion=8))
