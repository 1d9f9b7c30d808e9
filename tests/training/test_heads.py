import dataclasses

import numpy as np
from tiny_network import TINY

from icnet.base.classes import CAMVID, Classes
from icnet.network.weights import expected_shapes, random_weights
from icnet.training.heads import carried, carried_classes, told

NEW = Classes(("vegetation", "Car", "traffic-light", "POLE", "nothing", "traffic sign"), void=4)


def test_rows_follow_the_names():
    weights = random_weights(TINY, seed=2)
    weights.tensors["classifier/bias"][:] = np.arange(12)
    found = carried(weights, NEW, seed=7)
    assert found.spec == dataclasses.replace(TINY, classes=NEW)
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == expected_shapes(found.spec, auxiliary=True)
    tree, vehicle, pole, void, sign = 5, 8, 2, 11, 6
    assert found.tensors["classifier/bias"].tolist() == [tree, vehicle, 0, pole, void, sign]
    for name in ("classifier", "auxiliary_eighth", "auxiliary_sixteenth"):
        old, new = (one.tensors[f"{name}/kernel"] for one in (weights, found))
        np.testing.assert_array_equal(new[..., [0, 1, 3, 4, 5]], old[..., [tree, vehicle, pole, void, sign]])
        assert new[..., 2].std() > 0
        assert not np.isin(new[..., 2], old).any()
    for name in weights.tensors.keys() - {
        f"{head}/{part}" for head in ("classifier", "auxiliary_eighth", "auxiliary_sixteenth") for part in ("kernel", "bias")
    }:
        assert found.tensors[name] is weights.tensors[name]
    np.testing.assert_array_equal(carried(weights, NEW, seed=7).tensors["classifier/kernel"], found.tensors["classifier/kernel"])
    assert carried(weights, CAMVID) is weights


def test_what_is_carried_is_told():
    line = told(CAMVID, NEW)
    assert (
        "vegetation (was Tree), Car (was Vehicle), POLE (was Pole), nothing (was Unlabeled), traffic sign (was SignSymbol)"
        in line
    )
    assert line.endswith("new: traffic-light")


def test_a_name_letter_by_letter_goes_first():
    old = Classes(("vehicle", "Car", "road"))
    assert carried_classes(old, Classes(("Car", "vehicle", "bus"))) == [1, 0, None]
