import keras
import numpy as np
import pytest

from icnet.pruning.masks import to_numpy
from icnet.training.average import WeightAverage


def test_it_follows_the_formula_and_gives_the_weights_back():
    variable = keras.Variable(np.zeros(3, np.float32))
    average = WeightAverage([variable], momentum=0.5, every=2)
    variable.assign(np.full(3, 8.0))
    average.update(1)
    assert to_numpy(average.values[0]).tolist() == [0, 0, 0]
    average.update(2)  # momentum is the smaller of 0.5 ** 2 and 1 - 1 / sqrt(2)
    assert to_numpy(average.values[0]) == pytest.approx(np.full(3, 6.0))
    with average.applied():
        assert to_numpy(variable) == pytest.approx(np.full(3, 6.0))
    assert to_numpy(variable).tolist() == [8, 8, 8]


def test_the_weights_come_back_after_an_error():
    variable = keras.Variable(np.ones(1, np.float32))
    average = WeightAverage([variable], momentum=0.9)
    variable.assign([2.0])
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert to_numpy(variable).tolist() == [2.0]
