"""Training of the lite family on Keras' own step; `test_torch_step.py` has the other."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_network import TINY_LITE, Blocks

from icnet.base.errors import UsageError
from icnet.network.weights import load_weights
from icnet.training.learner import Learner
from icnet.training.recipe import Recipe
from icnet.training.trainer import RunOptions, Trainer

RECIPE = Recipe(epochs=2, batch_size=2, crop_hw=(64, 96), warmup_steps=1, trunk_rate=0.0, void="class", learning_rate=1e-2)


def _trainer(folder, recipe=RECIPE) -> Trainer:
    trainer = Trainer(Learner(TINY_LITE, recipe, Blocks(4), Blocks(1, seed=9)), folder)
    for model in trainer.learner.objective.models:
        model.run_eagerly = True
    return trainer


def test_a_trunk_with_rate_zero_stays_as_it_is(tmp_path):
    trainer = _trainer(tmp_path)

    def values() -> dict[str, np.ndarray]:
        variables = trainer.learner.model.trainable_variables
        return {variable.path: np.array(keras.ops.convert_to_numpy(variable)) for variable in variables}

    before = values()
    trainer.train_step(*trainer.learner.batches.batch(0))
    trainer.learner.sync()
    changed = {path.split("/")[0] for path, value in values().items() if not np.array_equal(value, before[path])}
    assert changed
    assert not any(path.startswith(("stem", "block")) for path in changed)


def test_stochastic_depth_goes_on_where_it_was(tmp_path):
    losses = {"whole": [], "parts": []}
    _trainer(tmp_path / "whole").run(on_step=lambda report: losses["whole"].append(report.loss) or True)
    _trainer(tmp_path / "parts").run(on_step=lambda report: losses["parts"].append(report.loss) or report.step < 2)
    options = RunOptions(resume=True)
    _trainer(tmp_path / "parts").run(options, on_step=lambda report: losses["parts"].append(report.loss) or True)
    assert losses["whole"] == losses["parts"]
    one, other = (load_weights(tmp_path / name / "last.safetensors").tensors for name in losses)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_recipe_with_a_negative_rate_is_refused():
    with pytest.raises(UsageError, match="trunk_rate must be 0 or more"):
        dataclasses.replace(RECIPE, trunk_rate=-1)
