"""Teacher, stages and precision, on networks that run without a compiled graph, which takes long to make."""

import dataclasses

import keras
import numpy as np
import pytest

from icnet.network.keras_model import build
from icnet.network.keras_weights import get_weights, set_weights
from icnet.network.weights import load_weights, random_weights
from icnet.training.learner import Learner
from icnet.training.recipe import Distillation, FinalStage, Recipe
from icnet.training.trainer import RunOptions, Trainer

RECIPE = Recipe(epochs=2, batch_size=2, crop_hw=(64, 96), learning_rate=1e-2, warmup_steps=1, ema_momentum=0.9)
DISTILLED = dataclasses.replace(RECIPE, distillation=Distillation("teacher.safetensors", weight=5.0))
STAGED = dataclasses.replace(RECIPE, epochs=3, batch_size=4, final=FinalStage(share=1 / 3, crop_hw=(96, 128), batch_size=2))


@pytest.fixture
def make(tiny, blocks, tmp_path, eager):
    def _make(folder="run", *, recipe=RECIPE, teacher=None, spec=tiny):
        return Trainer(Learner(spec, recipe, blocks(4), blocks(1, seed=9), teacher=teacher), tmp_path / folder)

    return _make


@pytest.fixture
def teacher(tiny):
    """A network of other widths than the student, with batch statistics that differ from the stored ones."""
    return random_weights(dataclasses.replace(tiny, name="teacher", fusion=24), seed=3)


def _values(trainer) -> dict[str, np.ndarray]:
    trainer.learner.sync()
    return {name: np.array(keras.ops.convert_to_numpy(value)) for name, value in trainer.learner.state().items()}


def test_the_teacher_answers_as_in_inference_and_stays_as_it_is(make, teacher):
    trainer = make(recipe=DISTILLED, teacher=teacher)
    (model,) = trainer.learner.objective.models
    frozen = model.get_layer("teacher").model
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in frozen.weights]
    images, labels = trainer.learner.batches.batch(0)
    plain = build(teacher.spec, (64, 96))
    set_weights(plain, teacher)
    expected = plain.predict_on_batch(images)
    taught = np.asarray(keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(images, "float32"), training=True)[0]))
    np.testing.assert_allclose(taught[..., 12:], expected, atol=1e-4)
    trainer.train_step(images, labels)
    trainer.learner.drain()
    trainer.learner.sync()
    for variable, value in zip(frozen.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(keras.ops.convert_to_numpy(variable)), value)


def test_the_teacher_is_no_part_of_what_is_learnt_averaged_or_saved(make, teacher, tiny):
    alone, taught = make("alone"), make("taught", recipe=DISTILLED, teacher=teacher)
    assert taught.learner.state().keys() == alone.learner.state().keys()
    assert len(taught.learner.average.values) == len(alone.learner.average.values)
    assert get_weights(taught.learner.model, tiny).tensors.keys() == get_weights(alone.learner.model, tiny).tensors.keys()
    assert (
        taught.learner.identity()["teacher"]
        != make("other", recipe=DISTILLED, teacher=random_weights(tiny)).learner.identity()["teacher"]
    )


def test_the_student_comes_closer_to_the_teacher(make, teacher):
    recipe = dataclasses.replace(DISTILLED, cascade=(1.0, 0.0, 0.0), jaccard=0.0, epochs=20)
    trainer = make(recipe=recipe, teacher=teacher)
    images, labels = trainer.learner.batches.batch(0)
    labels = np.full_like(labels, 11)  # only the teacher has something to say
    losses = [loss for _ in range(12) for _, loss in trainer.train_step(images, labels)]
    losses += [loss for _, loss in trainer.learner.drain()]
    assert losses[-1] < 0.7 * losses[0]


def test_a_run_in_stages_changes_its_crops_and_can_be_resumed_in_the_last(make):
    whole = make("whole", recipe=STAGED)
    shapes, losses = {}, []
    batch = whole.learner.batches.batch

    def seen(number):
        shapes[number] = batch(number)[0].shape[:3]
        return batch(number)

    whole.learner.batches.batch = seen
    whole.run(RunOptions(validate_every=9), on_step=lambda report: losses.append(report.loss) or True)
    assert [shapes[number] for number in range(4)] == [(4, 64, 96)] * 2 + [(2, 96, 128)] * 2
    assert whole.learner.total_steps == len(losses) == 4
    make("part", recipe=STAGED).run(RunOptions(validate_every=9), on_step=lambda report: report.step < 3)
    again, rest = [], make("part", recipe=STAGED)
    rest.run(RunOptions(resume=True, validate_every=9), on_step=lambda report: again.append(report.loss) or True)
    assert again == pytest.approx(losses[3:], rel=1e-4)


def test_the_second_stage_goes_on_with_the_same_variables(make):
    trainer = make(recipe=STAGED)
    for number in range(2):
        trainer.train_step(*trainer.learner.batches.batch(number))
    before = _values(trainer)
    trainer.train_step(*trainer.learner.batches.batch(2))
    trainer.learner.drain()
    after = _values(trainer)
    assert int(after["optimizer/0"]) == int(before["optimizer/0"]) + 1 == 3  # iterations
    changed = [name for name in before if name.startswith("model/") and not np.array_equal(before[name], after[name])]
    assert len(changed) > 0.9 * sum(name.startswith("model/") for name in before)


def test_bfloat16_keeps_weights_and_outputs_in_float32(make, tiny):
    trainer = make(recipe=dataclasses.replace(RECIPE, precision="bfloat16"))
    assert {str(variable.dtype) for variable in trainer.learner.model.weights} == {"float32"}
    assert {output.dtype for output in trainer.learner.model.outputs} == {"float32"}
    computed = {layer.name: layer.compute_dtype for layer in trainer.learner.model.layers}
    assert computed["stem2"] == computed["stem2_norm"] == "bfloat16"
    assert computed["classifier"] == "float32"
    exact = build(tiny, (64, 96))
    set_weights(exact, get_weights(trainer.learner.model, tiny))
    images = trainer.learner.batches.batch(0)[0]
    near, far = (np.asarray(model.predict_on_batch(images)[0]) for model in (trainer.learner.model, exact))
    assert 0 < np.abs(near[0] - far).max() < 0.1 * np.abs(far).max()


def test_what_is_saved_is_what_was_scored(make):
    trainer = make()
    for number in range(4):
        trainer.train_step(*trainer.learner.batches.batch(number))
    scored = []
    score = trainer.learner.score
    trainer.learner.score = lambda weights: scored.append(weights) or score(weights)
    trainer.validate()
    stored = load_weights(trainer.folder / "best.safetensors")
    assert scored[0].tensors.keys() == stored.tensors.keys()
    for name, tensor in scored[0].tensors.items():
        np.testing.assert_array_equal(tensor, stored.tensors[name], err_msg=name)


def test_answers_about_whole_pictures_are_part_of_the_targets(make, teacher):
    recipe = dataclasses.replace(RECIPE, distillation=Distillation("teacher.safetensors", view="picture", weight=3.0))
    plain, taught = make("plain").learner, make("taught", recipe=recipe, teacher=teacher).learner
    images, counts = plain.batches.batch(0)
    seen, targets = taught.batches.batch(0)
    np.testing.assert_array_equal(images, seen)
    answers = (targets - counts / 4) / 12  # a quarter of the targets are labels
    inside = counts.sum(axis=-1) == 16
    np.testing.assert_allclose(answers.sum(axis=-1)[inside], 1, atol=0.05)
    assert answers[inside].std() > 0
    assert taught.objective.teacher is None  # nothing of it runs in a step
    assert taught.identity()["teacher"]
    assert all(np.isfinite(loss) for _, loss in [*taught.step(1, images, targets), *taught.drain()])
