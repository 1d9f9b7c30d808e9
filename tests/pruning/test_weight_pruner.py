import numpy as np
import pytest
from small_models import randomise, residual

from icnet.base.errors import UsageError
from icnet.pruning import WeightPruner, maskable
from icnet.pruning.masks import to_numpy
from icnet.pruning.weights import share


def masked_of(pruner):
    return [int((to_numpy(layer.kernel_mask) == 0).sum()) for layer in pruner.layers]


@pytest.fixture
def model():
    return maskable(randomise(residual()))


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("ratio", [0, 0.1, 0.333, 0.6, 0.99, 1])
def test_the_number_is_exact(model, scope, ratio):
    pruner = WeightPruner(model, scope=scope)
    assert pruner.total == sum(to_numpy(layer.kernel).size for layer in pruner.layers)
    assert pruner.prune(ratio) == sum(masked_of(pruner)) == round(ratio * pruner.total)
    assert sum(int((to_numpy(layer.kernel) == 0).sum()) for layer in pruner.layers) == round(ratio * pruner.total)


def test_global_removes_the_smallest_of_all(model):
    pruner = WeightPruner(model)
    pruner.prune(0.4)
    kernels = np.concatenate([np.abs(to_numpy(layer.stored_kernel)).ravel() for layer in pruner.layers])
    masks = np.concatenate([to_numpy(layer.kernel_mask).ravel() for layer in pruner.layers])
    assert kernels[masks == 0].max() < kernels[masks == 1].min()


def test_per_layer_removes_the_same_share_of_each(model):
    pruner = WeightPruner(model, scope="layer")
    pruner.prune(0.37)
    for layer, masked in zip(pruner.layers, masked_of(pruner), strict=True):
        kernel, mask = np.abs(to_numpy(layer.stored_kernel)), to_numpy(layer.kernel_mask)
        assert abs(masked - 0.37 * mask.size) < 1
        assert kernel[mask == 0].max() < kernel[mask == 1].min()


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_ties_fall_to_the_first(model, scope):
    for layer in WeightPruner(model).layers:
        layer.stored_kernel.assign(np.ones(layer.stored_kernel.shape))
    pruner = WeightPruner(model, scope=scope)
    pruner.prune(count=700)
    if scope == "global":
        mask = np.concatenate([to_numpy(layer.kernel_mask).ravel() for layer in pruner.layers])
        assert not mask[:700].any()
        assert mask[700:].all()
    for layer in pruner.layers:
        assert (np.diff(to_numpy(layer.kernel_mask).ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_what_is_masked_stays_masked(model, scope):
    pruner = WeightPruner(model, scope=scope)
    generator, before = np.random.default_rng(0), None
    for ratio in (0.2, 0.5, 0.501, 0.8):
        assert pruner.prune(ratio) == round(ratio * pruner.total)
        masks = [to_numpy(layer.kernel_mask).copy() for layer in pruner.layers]
        if before is not None:
            assert all((new <= old).all() for new, old in zip(masks, before, strict=True))
        before = masks
        for layer in pruner.layers:  # training moves all stored weights
            layer.stored_kernel.assign(generator.normal(size=layer.stored_kernel.shape))
    assert pruner.prune(0.3) == round(0.8 * pruner.total)
    assert all(np.array_equal(to_numpy(layer.kernel_mask), mask) for layer, mask in zip(pruner.layers, before, strict=True))


def test_excluded_layers_neither_lose_weights_nor_count(model):
    pruner = WeightPruner(model, exclude=["stem", "a1"])
    pruner.prune(0.5)
    assert to_numpy(model.get_layer("stem").kernel_mask).all()
    assert pruner.total + 3 * 3 * 3 * 16 + 3 * 3 * 16 * 12 == WeightPruner(model).total


def test_layers_that_were_masked_differently_share_the_rest(model):
    WeightPruner(model, exclude=[name for name in ("stem", "a2", "b1", "b2", "top")]).prune(0.9)
    pruner = WeightPruner(model, scope="layer")
    assert pruner.prune(0.5) == sum(masked_of(pruner)) == round(0.5 * pruner.total)


def test_shares_go_to_the_largest_remainders():
    assert share(10, [5, 10, 15], at_least=[0, 0, 0]) == [2, 3, 5]  # 1.67, 3.33, 5
    assert share(1, [1, 1, 1], at_least=[0, 0, 0]) == [1, 0, 0]
    assert share(10, [10, 10, 10], at_least=[8, 0, 0]) == [8, 1, 1]


def test_wrong_arguments_are_refused(model):
    with pytest.raises(UsageError, match="no layer nothing, wrong"):
        WeightPruner(model, exclude=["wrong", "nothing"])
    with pytest.raises(UsageError, match="unknown scope 'row'"):
        WeightPruner(model, scope="row")
    with pytest.raises(UsageError, match=r"maskable\(model\)"):
        WeightPruner(residual())
    pruner = WeightPruner(model)
    for arguments in ({"ratio": 1.1}, {"count": -1}, {"count": 10**6}, {}, {"ratio": 0.1, "count": 3}):
        with pytest.raises(UsageError):
            pruner.prune(**arguments)
