import keras
import numpy as np
import pytest
from small_models import pictures, randomise, residual

from icnet.base.errors import UsageError
from icnet.pruning import ChannelPruner, PruningCallback, PruningSchedule, WeightPruner, maskable


def test_the_cubic_by_hand():
    schedule = PruningSchedule(0.8, begin_step=100, end_step=300, every=50)
    assert [schedule.ratio_at(step) for step in (0, 99, 100)] == [0, 0, 0]
    assert schedule.ratio_at(150) == pytest.approx(0.8 * (1 - 0.75**3))
    assert schedule.ratio_at(200) == pytest.approx(0.8 * (1 - 0.5**3))
    assert [schedule.ratio_at(step) for step in (300, 301, 10**6)] == [0.8] * 3


def test_the_share_is_constant_between_changes_and_never_falls():
    schedule = PruningSchedule(0.6, begin_step=7, end_step=60, every=10, initial=0.1)
    ratios = [schedule.ratio_at(step) for step in range(80)]
    assert ratios == sorted(ratios)
    assert [step for step in range(1, 80) if ratios[step] != ratios[step - 1]] == [7, 17, 27, 37, 47, 57, 60]
    assert (ratios[7], ratios[60]) == (pytest.approx(0.1), 0.6)


def test_a_schedule_of_one_step():
    schedule = PruningSchedule(0.5, begin_step=3, end_step=3)
    assert (schedule.ratio_at(2), schedule.ratio_at(3)) == (0, 0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 1.5},
        {"ratio": 0.5, "initial": 0.6},
        {"ratio": 0.5, "begin_step": 11},
        {"ratio": 0.5, "every": 0},
        {"ratio": 0.5, "begin_step": -1},
    ],
    ids=str,
)
def test_impossible_schedules_are_refused(options):
    with pytest.raises(UsageError):
        PruningSchedule(**{"begin_step": 0, "end_step": 10, **options})


def compiled():
    model = maskable(randomise(residual()))
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    return model


class Spy:
    """A pruner that notes when it is asked for what."""

    def __init__(self, model):
        self.model, self.layers, self.asked = model, [], []

    def prune(self, ratio):
        self.asked.append((int(self.model.optimizer.iterations), round(ratio, 4)))
        return 0


def test_the_callback_follows_the_optimizers_steps_over_epochs_and_runs():
    model, schedule = compiled(), PruningSchedule(0.5, begin_step=2, end_step=10, every=4, initial=0.1)
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    spy, expected = Spy(model), [(step, round(schedule.ratio_at(step), 4)) for step in (2, 6, 10)]
    data, target = pictures(6), np.zeros((6, 4), np.float32)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0, "callbacks": [PruningCallback(spy, schedule)]}
    model.fit(data[:4], target[:4], epochs=2, **options)  # ends at step 8
    assert spy.asked == expected[:2]
    model.fit(data[:2], target[:2], epochs=1, **options)  # catches up, then ends at step 10
    assert spy.asked == [*expected[:2], (8, expected[1][1]), expected[2]]


def test_channels_are_pruned_while_training():
    model = compiled()
    pruner = ChannelPruner(model, keep={"stem": 8, "a1": 4}, multiple_of=2)
    schedule = PruningSchedule(1.0, begin_step=0, end_step=4, every=1)
    model.fit(pictures(6), np.zeros((6, 4)), batch_size=1, verbose=0, callbacks=[PruningCallback(pruner, schedule)])
    assert pruner.widths == {"stem": 8, "a1": 4, "b1": 12, "top": 20}


def test_a_pruner_of_another_model_is_refused():
    callback = PruningCallback(WeightPruner(compiled()), PruningSchedule(0.5, 0, 1))
    with pytest.raises(UsageError, match="another model"):
        compiled().fit(pictures(2), np.zeros((2, 4)), verbose=0, callbacks=[callback])
