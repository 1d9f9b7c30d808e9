"""OpenVINO IRs: what they take and give, and what they tell about themselves."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from icnet.base.classes import CAMVID, Classes, unnamed
from icnet.base.errors import ModelError, UsageError
from icnet.network.openvino_model import INPUT, OUTPUTS, Output
from icnet.network.registry import IR_SHA256
from icnet.network.stored import Stored
from icnet.runtime.core import core
from icnet.runtime.trial import last_line, try_out

ABOUT = ["icnet", "about"]
"""Where an IR keeps free facts as JSON."""

CLASSES = ["icnet", "classes"]
"""Where an IR keeps its table of classes as JSON; CamVid's need none."""

LABELS = ["model_info", "labels"]
"""Where Intel's Model API looks for the names of classes, with spaces between them and therefore none within."""

_CONTRACT = f"expected one input {INPUT!r} (1, H, W, 3) and one output named {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}"


def read_ir(stored: Stored) -> ov.Model:
    """An OpenVINO IR, which unless it is bundled was tried in another process first.

    Raises:
        ModelError: it is damaged, or cannot be run.
    """
    if stored.sha256 not in IR_SHA256.values():
        try_out(stored)
    return parsed_ir(stored)


def parsed_ir(stored: Stored) -> ov.Model:
    """An OpenVINO IR, from its bytes: from files OpenVINO would map the `.bin`, and change or die with it.

    Raises:
        ModelError: it is damaged.
    """
    try:
        return core().read_model(stored.data, ov.Tensor(np.frombuffer(stored.binary, np.uint8)))
    except (RuntimeError, MemoryError) as error:
        raise ModelError(f"{stored.path} is not a readable OpenVINO model ({last_line(error)}): export it again") from error


def read_about(network: ov.Model) -> dict[str, Any]:
    """What an IR of this project tells about itself, such as its accuracy and how it was quantized; empty if nothing."""
    try:
        about = json.loads(_told(network, ABOUT) or "null")
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def check_contract(network: ov.Model, path: Path) -> tuple[Output, tuple[int, int]]:
    """What an IR gives and the (H, W) it takes.

    Raises:
        ModelError: its inputs and outputs are not those of this project's exports.
    """
    names = sorted(name for port in network.outputs for name in port.get_names())
    outputs = [name for name in OUTPUTS if name in names]
    taken = [port for port in network.inputs if INPUT in port.get_names() and port.partial_shape.is_static]
    if len(network.inputs) != 1 or not taken or len(taken[0].shape) != 4:
        inputs = [f"{'/'.join(sorted(port.get_names())) or 'unnamed'} {port.partial_shape}" for port in network.inputs]
        raise ModelError(f"{path} has the inputs {', '.join(inputs) or 'none'}: {_CONTRACT}")
    if len(network.outputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path} has the outputs {', '.join(names) or 'without names'}: {_CONTRACT}")
    batch, height, width, channels = (int(side) for side in taken[0].shape)
    given, expected = network.outputs[0].partial_shape, 3 if outputs[0] == "index" else 4
    sides = list(given.to_shape()) if given.is_static else []
    if (batch, channels) != (1, 3) or len(sides) != expected or sides[0] != 1 or not min(height, width, *sides):
        raise ModelError(f"{path} maps {taken[0].partial_shape} to {given}: {_CONTRACT}")
    return outputs[0], (height, width)


def read_classes(network: ov.Model, path: Path) -> Classes:
    """The classes of an IR that `check_contract` has passed.

    An IR without a table, such as a foreign one, has the names that it keeps for Model API, and CamVid's colours where these
    are CamVid's; without names the classes are CamVid's if there are twelve, or not told how many, and else have numbers.

    Raises:
        ModelError: the table does not fit the output, or the output has fewer than 2 or more than 255 channels.
    """
    shape = network.outputs[0].partial_shape
    count = shape[1].get_length() if shape.rank.get_length() == 4 and shape[1].is_static else None
    if (table := _told(network, CLASSES)) is not None:
        try:
            classes = Classes.from_dict(json.loads(table))
        except (UsageError, ValueError, RecursionError) as error:
            raise ModelError(f"the table of classes in {path} is damaged ({error}): export it again") from error
        if count not in (None, len(classes)):
            raise ModelError(f"{path} has {count} outputs for {len(classes)} classes: export it again")
        return classes
    labels = tuple((_told(network, LABELS) or "").split())
    if labels == CAMVID.names and count in (None, len(CAMVID)):
        return CAMVID
    if labels and count in (None, len(labels)):
        with suppress(UsageError):  # such as two of the same name
            return Classes(labels)
    try:
        return unnamed(len(CAMVID) if count is None else count)
    except UsageError as error:
        raise ModelError(f"{path}: {error}") from error


def _told(network: ov.Model, key: list[str]) -> str | None:
    try:
        return str(network.get_rt_info(key).astype(str))
    except RuntimeError:  # there is none
        return None
