import csv
import dataclasses

import numpy as np
import pytest

from icnet.base.errors import ModelError, TrainingError, UsageError
from icnet.network.keras_weights import get_weights
from icnet.network.weights import load_weights, random_weights
from icnet.pruning.masks import to_numpy
from icnet.training import fit
from icnet.training.checkpoint import load_checkpoint
from icnet.training.learner import Learner
from icnet.training.recipe import FinalStage, Recipe
from icnet.training.trainer import RunOptions, Trainer, planned_epochs

RECIPE = Recipe(epochs=4, batch_size=2, crop_hw=(64, 96), learning_rate=1e-2, warmup_steps=4, ema_momentum=0.9)


@pytest.fixture
def make(tiny, blocks, tmp_path, eager):
    def _make(folder="run", *, recipe=RECIPE, train=None, val=None, initial=None):
        return Trainer(Learner(tiny, recipe, train or blocks(8), val or blocks(2, seed=9), initial=initial), tmp_path / folder)

    return _make


def _rows(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_learns_and_writes_what_it_says(make, tiny):
    trainer = make(recipe=dataclasses.replace(RECIPE, epochs=30))
    for model in trainer.learner.objective.models:
        model.run_eagerly = False
    losses = []
    progress = trainer.run(RunOptions(validate_every=10), on_step=lambda report: losses.append(report.loss) or True)
    assert progress.step == trainer.learner.total_steps == len(losses) == 120
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])
    rows = _rows(trainer.folder)
    assert len(rows) == 30
    assert [row["epoch"] for row in rows if row["miou_strict"]] == ["10.0", "20.0", "30.0"]
    assert float(rows[-1]["miou_strict"]) > float(rows[9]["miou_strict"]) * 0.8
    assert float(rows[-1]["miou_strict"]) > 0.25
    best = load_weights(trainer.folder / "best.safetensors")
    assert best.about["miou_strict"] == progress.best_miou
    assert best.about["recipe"]["epochs"] == 30
    assert list((trainer.folder / "tensorboard").iterdir())
    last = load_weights(trainer.folder / "last.safetensors")
    assert last.about["step"] == 120


def test_training_never_reads_val_and_validation_never_reads_train(make, blocks):
    train, val = blocks(8), blocks(2, seed=9)
    trainer = make(train=train, val=val)
    val.read.clear()
    for number in range(4):
        trainer.train_step(*trainer.learner.batches.batch(number))
    assert not val.read
    train.read.clear()
    trainer.validate()
    assert not train.read
    assert val.read == {0, 1}


def test_a_run_goes_on_in_another_precision(make):
    part = make("part")
    part.run(on_step=lambda report: report.step < 7)
    rest = make("part", recipe=dataclasses.replace(part.learner.recipe, precision="bfloat16"))
    rest.run(RunOptions(resume=True), on_step=lambda report: report.step < 9)
    assert rest.progress.step == 9


def test_a_stopped_and_resumed_run_goes_on_where_it_was(make):
    part = make("part")
    part.run(RunOptions(validate_every=3), on_step=lambda report: report.step < 7)
    assert part.progress.step == 7
    rest = make("part")
    rest.progress = load_checkpoint(rest.checkpoint, rest.learner.state(), rest.learner.identity())
    assert rest.progress == part.progress
    saved, loaded = part.learner.state(), rest.learner.state()
    assert saved.keys() == loaded.keys()
    for name in saved:
        np.testing.assert_array_equal(np.asarray(loaded[name]), np.asarray(saved[name]), err_msg=name)
    seen = []
    rest.run(RunOptions(resume=True), on_step=lambda report: seen.append(report.step) or True)
    assert seen == list(range(8, 17))


def test_resuming_replaces_the_log_lines_that_are_done_again(make):
    trainer = make()
    trainer.run(on_step=lambda report: report.step < 4)  # one epoch
    with (trainer.folder / "log.csv").open("a") as file:
        file.write("2.0,8,9,9,9,9,,\n")  # as after a kill between the log's second epoch and its checkpoint
    make().run(RunOptions(resume=True))
    assert [row["step"] for row in _rows(trainer.folder)] == ["4", "8", "12", "16"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(make):
    make().run(on_step=lambda report: report.step < 2)
    trainer = make()
    before = trainer.checkpoint.read_bytes()
    trainer.learner.batches.batch = lambda number: (
        np.full((2, 64, 96, 3), np.nan, np.float32),
        np.full((2, 16, 24, 12), 1, np.uint8),
    )
    with pytest.raises(TrainingError, match=r"loss became nan at step 3.*--learning-rate 0.003 and --set clip_norm=5"):
        trainer.run(RunOptions(resume=True))
    assert trainer.checkpoint.read_bytes() == before


def test_a_run_that_gets_no_better_stops_and_goes_on_when_asked(make, monkeypatch):
    trainer, words = make(), []
    scores = iter([0.3, 0.2, 0.1, 0.4])
    score = trainer.learner.score
    worse = lambda weights: dataclasses.replace(score(weights), miou_strict=next(scores))  # noqa: E731
    monkeypatch.setattr(trainer.learner, "score", worse)
    progress = trainer.run(RunOptions(validate_every=1, patience=2), tell=words.append)
    assert progress.step == 12  # three of four epochs
    assert "2 validations in a row were no better than 30.00 % (now 10.00 %)" in words[-1]
    assert load_weights(trainer.folder / "best.safetensors").about["step"] == 4
    assert load_weights(trainer.folder / "last.safetensors").about["step"] == 12
    assert make().run(RunOptions(resume=True)).step == 16


def test_the_time_budget_stops_cleanly_and_saves(make):
    trainer = make()
    progress = trainer.run(RunOptions(max_minutes=0))
    assert progress.step == 1
    assert (trainer.folder / "checkpoint.safetensors").exists()
    assert (trainer.folder / "last.safetensors").exists()


def test_a_folder_with_a_run_is_not_overwritten(make, tmp_path):
    make().run(RunOptions(max_minutes=0))
    with pytest.raises(UsageError, match="add --resume"):
        make().run()
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    with pytest.raises(UsageError, match="add --resume"):
        make().run()
    with pytest.raises(UsageError, match="no run to resume"):
        make("elsewhere").run(RunOptions(resume=True))


def test_resuming_with_other_options_is_refused_but_more_epochs_are_fine(make, blocks):
    make().run(RunOptions(max_minutes=0))
    with pytest.raises(ModelError, match=r"recipe\.learning_rate was 0\.01, is 0\.5;"):
        make(recipe=dataclasses.replace(RECIPE, learning_rate=0.5)).run(RunOptions(resume=True))
    with pytest.raises(ModelError, match="training data was"):
        make(train=blocks(7)).run(RunOptions(resume=True))
    longer = make(recipe=dataclasses.replace(RECIPE, epochs=9))
    assert longer.run(RunOptions(resume=True, max_minutes=0)).step == 2


def test_a_damaged_checkpoint_is_one_line(make):
    trainer = make()
    trainer.folder.mkdir()
    trainer.checkpoint.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        trainer.run(RunOptions(resume=True))


def test_initial_weights_are_used(make, tiny):
    initial = random_weights(tiny, seed=4)
    trainer = make(initial=initial)
    np.testing.assert_array_equal(
        get_weights(trainer.learner.model, tiny).tensors["stem1/kernel"], initial.tensors["stem1/kernel"]
    )


def test_validation_scores_the_average_and_leaves_the_weights(make, tiny):
    trainer = make()
    before = get_weights(trainer.learner.model, tiny).tensors["classifier/kernel"]
    for average in trainer.learner.average.values:
        average.assign(np.zeros(average.shape))
    trainer.validate()
    np.testing.assert_array_equal(get_weights(trainer.learner.model, tiny).tensors["classifier/kernel"], before)
    saved = load_weights(trainer.folder / "best.safetensors").tensors["classifier/kernel"]
    assert not saved.any()


def test_weights_tell_how_they_came_about(make, tiny):
    initial = dataclasses.replace(random_weights(tiny), about={"recipe": {"epochs": 7}, "step": 3, "licence": "x"})
    trainer = make(recipe=dataclasses.replace(RECIPE, epochs=1, initial="/somewhere/first.safetensors"), initial=initial)
    trainer.run()
    about = load_weights(trainer.folder / "last.safetensors").about
    assert about["history"] == [{"recipe": {"epochs": 7}, "step": 3, "licence": "x"}]
    assert about["recipe"]["initial"] == "first.safetensors"
    again = make("again", recipe=dataclasses.replace(RECIPE, epochs=1), initial=load_weights(trainer.folder / "last.safetensors"))
    again.run()
    history = load_weights(again.folder / "last.safetensors").about["history"]
    assert [run["step"] for run in history] == [3, 4]


def test_a_run_that_fits_the_minutes_is_the_run_of_its_epochs(make, monkeypatch):
    steps = lambda learner, first, batches: learner.step(1, *learner.batches.batch(first), rate=0.1) and 6.0  # noqa: E731
    monkeypatch.setattr(fit, "step_seconds", steps)
    monkeypatch.setattr(fit, "validation_seconds", lambda learner: learner.averaged() and 60.0)
    trainer = make("fitted")
    learner = trainer.learner
    before = {name: to_numpy(value) for name, value in learner.state().items()}
    # An epoch of eight images is four steps of 6 s and a quarter of a validation of 60 s; one more at the end.
    epochs = fit.epochs_that_fit(learner, 5.05 / (1 - fit.RESERVE), validate_every=4)
    assert epochs == (5.05 * 60 - 60) // (4 * 6 + 60 / 4) == 6
    learner.plan(dataclasses.replace(RECIPE, epochs=epochs))
    assert learner.total_steps == 24
    after = learner.state()
    assert all(np.array_equal(before[name], to_numpy(after[name])) for name in before)
    trainer.run()
    assert planned_epochs(trainer.folder) == 6
    with pytest.raises(UsageError, match="give 2 or smaller crops"):
        fit.epochs_that_fit(make("other").learner, 1, validate_every=4)


def test_the_times_that_a_fit_rests_on_are_of_the_stage_itself(make, monkeypatch):
    learner = make(recipe=dataclasses.replace(RECIPE, final=FinalStage(share=0.5, crop_hw=(96, 128), batch_size=2))).learner
    first, last = learner.batches.options.stages
    seen, step = [], learner.step
    monkeypatch.setattr(
        learner, "step", lambda number, images, *rest, **given: seen.append(images.shape) or step(number, images, *rest, **given)
    )
    assert fit.step_seconds(learner, 0, first.batches) > 0
    assert seen == [(2, 64, 96, 3)] * first.batches
    assert fit.step_seconds(learner, first.batches, last.batches) > 0
    assert set(seen[first.batches :]) == {(2, 96, 128, 3)}
    assert fit.validation_seconds(learner) > 0
