import numpy as np
import pytest
from small_models import concatenated, preactivated, randomise, residual, shared

from icnet.base.errors import UsageError
from icnet.pruning import ChannelPruner, MaskedConv2D, compact, maskable
from icnet.pruning.masks import to_numpy


def pruner_of(net, **options):
    return ChannelPruner(maskable(randomise(net())), **{"multiple_of": 1, "minimum": 1, **options})


def channels_left(model, name):
    return np.flatnonzero(to_numpy(model.get_layer(name).kernel_mask).any(axis=(0, 1, 2)))


def test_exact_widths_by_group_or_layer_name():
    pruner = pruner_of(residual, keep={"a2": 9, "b2": 9, "b1": 5}, multiple_of=8)
    pruner.prune()
    assert pruner.widths == {"stem": 9, "a1": 12, "b1": 5, "top": 20}
    stem, a2, b2 = (channels_left(pruner.model, name) for name in ("stem", "a2", "b2"))
    assert len(stem) == 9
    np.testing.assert_array_equal(stem, a2)
    np.testing.assert_array_equal(stem, b2)


def test_a_removed_channel_is_masked_wherever_it_is_written_normalised_or_read():
    pruner = pruner_of(preactivated, keep={"stem": 10, "a1": 7})
    pruner.prune()
    model = pruner.model
    stem, a1 = channels_left(model, "stem"), channels_left(model, "a1")
    assert (len(stem), len(a1)) == (10, 7)
    for name, left in (("a_norm", stem), ("b_norm", stem), ("norm", stem), ("a_norm2", a1)):
        np.testing.assert_array_equal(np.flatnonzero(to_numpy(model.get_layer(name).channel_mask)), left)
    for name, left in (("a1", a1), ("a2", stem), ("b2", stem)):
        np.testing.assert_array_equal(np.flatnonzero(to_numpy(model.get_layer(name).bias_mask)), left)
    for name, left in (("a2", a1), ("a1", stem), ("classes", stem)):
        np.testing.assert_array_equal(np.flatnonzero(to_numpy(model.get_layer(name).kernel_mask).any(axis=(0, 1, 3))), left)


def test_the_channels_with_the_smallest_kernels_go_first():
    model = maskable(randomise(residual()))
    norms = sum((to_numpy(model.get_layer(name).kernel) ** 2).sum(axis=(0, 1, 2)) for name in ("stem", "a2", "b2"))
    pruner = ChannelPruner(model, keep={"stem": 11})
    pruner.prune()
    assert set(channels_left(model, "stem")) == set(np.argsort(norms)[-11:])


def test_a_groups_scale_does_not_matter():
    widths = []
    for factor in (1, 1000):
        pruner = pruner_of(residual)
        for name in ("stem", "a2", "b2"):
            kernel = pruner.model.get_layer(name).stored_kernel
            kernel.assign(to_numpy(kernel) * factor)
        pruner.prune(0.4)
        widths.append(pruner.widths)
    assert widths[0] == widths[1]


@pytest.mark.parametrize("net", [residual, concatenated, preactivated, shared])
@pytest.mark.parametrize("ratio", [0.1, 0.3])
def test_a_ratio_is_reached_with_little_excess_and_counted_as_compact_removes(net, ratio):
    pruner = pruner_of(net)
    removed = pruner.prune(ratio)
    narrow, _ = compact(pruner.model)
    kernels = sum(to_numpy(layer.kernel).size for layer in narrow.layers if hasattr(layer, "kernel_size"))
    assert pruner.total - removed == kernels
    assert removed >= ratio * pruner.total
    for group in pruner.graph.groups.values():  # no channel could be given back
        alive = pruner._alive()
        dead = group.channels[~alive[group.channels]]
        alive[dead[:1]] = True
        assert not dead.size or pruner._removed(alive) < ratio * pruner.total
    masks = [layer for layer in pruner.layers if isinstance(layer, MaskedConv2D) and layer.groups == 1]
    assert sum(int((to_numpy(layer.kernel_mask) == 0).sum()) for layer in masks) == removed


def test_widths_are_multiples_and_at_least_the_minimum():
    pruner = pruner_of(residual, multiple_of=4, minimum=8)
    pruner.prune(0.5)
    assert all(width % 4 == 0 and width >= 8 for width in pruner.widths.values())
    assert any(width > 8 for width in pruner.widths.values())


def test_gradual_pruning_only_removes_and_ends_at_the_widths():
    keep = {"stem": 8, "a1": 6, "b1": 8, "top": 10}
    pruner, generator, before = pruner_of(residual, keep=keep, multiple_of=2), np.random.default_rng(0), None
    for ratio in (0.1, 0.3, 0.5, 1.0):
        pruner.prune(ratio)
        masks = [to_numpy(v).copy() for v in pruner.model.weights if "mask" in v.name]
        if before is not None:
            assert all((new <= old).all() for new, old in zip(masks, before, strict=True))
            assert sum(mask.sum() for mask in masks) < sum(mask.sum() for mask in before)
        before = masks
        for layer in pruner.layers:
            if isinstance(layer, MaskedConv2D):
                layer.stored_kernel.assign(generator.normal(size=layer.stored_kernel.shape))
    assert pruner.widths == keep


def test_excluded_layers_keep_their_channels_and_do_not_count():
    pruner = pruner_of(residual, exclude=["a2", "top"])
    everything = pruner_of(residual)
    assert pruner.total == everything.total - 3 * 3 * 12 * 16 - 3 * 3 * 16 * 20
    pruner.prune(0.6)
    assert (pruner.widths["stem"], pruner.widths["top"]) == (16, 20)
    assert pruner.widths["b1"] < 12


def test_unstructured_masks_stay_and_do_not_remove_a_channel():
    pruner = pruner_of(residual, keep={"a1": 6})
    masks = pruner.model.get_layer("a1").kernel_mask
    masks.assign(np.zeros(masks.shape))  # the normalisation still gives beta
    assert pruner.widths["a1"] == 12
    pruner.prune()
    assert pruner.widths["a1"] == 6
    assert not to_numpy(masks).any()


def test_wrong_arguments_are_refused():
    model = maskable(residual())
    for keep, message in (
        ({"stem": 17}, "stem is to keep 17 channels, expected 1 to 16"),
        ({"stem": 0}, "expected 1 to 16"),
        ({"stem": 8, "a2": 9}, "stem is to keep 8 channels and a2 9, but they are tied"),
        ({"wrong": 8}, "called wrong"),
        ({"gap": 8}, "called gap"),
    ):
        with pytest.raises(UsageError, match=message):
            ChannelPruner(model, keep=keep)
    with pytest.raises(UsageError, match="classes is to keep 3 channels, expected 4"):
        ChannelPruner(maskable(preactivated()), keep={"classes": 3})
    ChannelPruner(maskable(preactivated()), keep={"classes": 4})
    with pytest.raises(UsageError, match="no layer wrong"):
        ChannelPruner(model, exclude=["wrong"])
    with pytest.raises(UsageError, match=r"stem has no masks: give what maskable\(model\) returns"):
        ChannelPruner(residual())
    with pytest.raises(UsageError, match="multiple_of is 0"):
        ChannelPruner(model, multiple_of=0)
    pruner = ChannelPruner(model)
    with pytest.raises(UsageError, match=r"the ratio is 1\.5"):
        pruner.prune(1.5)
    with pytest.raises(UsageError, match=r"at most 0.*0\.9 was asked for"):
        pruner.prune(0.9)
    assert all(to_numpy(variable).all() for variable in model.weights if "mask" in variable.name)
