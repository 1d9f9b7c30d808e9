import json

import keras
import pytest
from keras import layers
from small_models import preactivated, randomise, residual, shared

from icnet.base.errors import UsageError
from icnet.pruning import ChannelPruner, WeightPruner, compact, maskable, report, strip


def pruned():
    model = maskable(randomise(residual()))
    ChannelPruner(model, keep={"stem": 10, "a1": 5}).prune()
    return model


def test_channels_and_operations_by_hand():
    result = report(residual(), pruned())
    stem, a1, a2 = (next(layer for layer in result.layers if layer.name == name) for name in ("stem", "a1", "a2"))
    assert (stem.inputs, stem.outputs, stem.outputs_before) == (3, 10, 16)
    assert (a1.inputs, a1.outputs, a2.inputs, a2.outputs) == (10, 5, 5, 10)
    assert (a1.kernel_weights_before, a1.kernel_weights) == (9 * 16 * 12, 9 * 10 * 5)
    assert a1.zeros == 9 * (16 * 12 - 10 * 5)
    assert (stem.flops_before, stem.flops) == (2 * 64 * 27 * 16, 2 * 64 * 27 * 10)  # stride 2: 8 x 8 places
    assert a1.flops_nonzero == a1.flops
    assert result.total.flops == sum(layer.flops for layer in result.layers)
    assert result.sparsity == result.total.zeros / result.total.kernel_weights_before


def test_masked_stripped_and_compacted_give_the_same_report():
    model = pruned()
    assert report(residual(), model) == report(residual(), strip(model)) == report(residual(), compact(model)[0])


def test_single_zeros_save_no_operations():
    model = maskable(randomise(residual()))
    masked = WeightPruner(model).prune(0.6)
    total = report(model, model).total
    assert total.zeros == masked
    assert total.kernel_weights == total.kernel_weights_before
    assert total.flops == total.flops_before > 2 * total.flops_nonzero


def test_a_shared_layer_counts_each_call_and_a_grouped_one_its_own_inputs():
    model = randomise(shared())
    rows = {layer.name: layer for layer in report(model, model).layers}
    assert rows["both"].flops_before == 2 * 9 * 16 * 24 * (16 * 16 + 8 * 8)
    assert rows["grouped"].kernel_weights == 9 * 8 * 24
    assert sum(layer.zeros for layer in rows.values()) == 0


def test_table_and_dictionary():
    result = report(residual(), pruned())
    lines = str(result).splitlines()
    assert [line.split()[0] for line in lines] == ["layer", *(layer.name for layer in result.layers), "total"]
    assert len({len(line) for line in lines}) == 1
    assert "10/16" in lines[2]
    assert json.loads(json.dumps(result.to_dict()))["total"]["zeros"] == result.total.zeros


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="differ in their convolutions"):
        report(residual(), preactivated())
    data = keras.Input((None, None, 3))
    model = keras.Model(data, layers.Conv2D(2, 3, name="conv")(data))
    with pytest.raises(UsageError, match="conv has no fixed size"):
        report(model, model)
