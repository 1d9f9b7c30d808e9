"""The state of a running training in one file, written atomically."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from icnet.base.errors import ModelError
from icnet.base.files import replacing


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Batches depend on the step alone, so no random state has to be kept."""

    step: int = 0
    """Optimizer steps done."""
    seconds: float = 0.0
    """Training time so far, over all resumed parts."""
    best_miou: float = -1.0
    """Best strict mIoU on the validation split so far."""
    losses: tuple[float, ...] = ()
    """Of the steps that no line of the log covers yet, the newest last."""
    history: tuple[dict[str, Any], ...] = ()
    """The runs that made the weights that this one started from, the first one first."""

    @property
    def reported(self) -> int:
        """The step of the log's last line."""
        return self.step - len(self.losses)


def save_checkpoint(path: Path, state: dict[str, keras.Variable], progress: Progress, identity: dict[str, Any]) -> None:
    """Write every variable of `state` bit by bit, the progress, and what identifies the run.

    At every moment, also of a power cut, `path` is either the previous checkpoint or this one, whole.

    Raises:
        OutputError: the file cannot be written; the previous one stays.
    """
    tensors = {name: np.asarray(keras.ops.convert_to_numpy(value), order="C") for name, value in state.items()}
    header = {"progress": json.dumps(progress.__dict__), "identity": json.dumps(identity, sort_keys=True)}
    with replacing(path, durable=True) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_checkpoint(path: Path, state: dict[str, keras.Variable], identity: dict[str, Any]) -> Progress:
    """Restore what `save_checkpoint` wrote into the variables of `state`.

    Raises:
        ModelError: the file is damaged, or belongs to a run with another `identity`, or other names, shapes and types in `state`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        stored, saved = json.loads(header["progress"]), json.loads(header["identity"])
        progress = Progress(**stored | {name: tuple(stored.get(name, ())) for name in ("losses", "history")})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a readable checkpoint ({error}): start a new run in another folder") from error
    different = _differences(saved, json.loads(json.dumps(identity)))
    if different:
        raise ModelError(f"{path} belongs to a run with other options: {', '.join(different)}; use the same, or another folder")
    expected = {name: (tuple(value.shape), keras.backend.standardize_dtype(value.dtype)) for name, value in state.items()}
    if expected != {name: (tensor.shape, tensor.dtype.name) for name, tensor in tensors.items()}:
        raise ModelError(f"{path} does not fit the network: start a new run in another folder")
    for name, variable in state.items():
        variable.assign(tensors[name])
    return progress


def _differences(saved: Any, given: Any, name: str = "") -> list[str]:
    """What differs between two JSON values, as `name was X, is Y`."""
    if isinstance(saved, dict) and isinstance(given, dict):
        keys = sorted(saved.keys() | given.keys())
        return [line for key in keys for line in _differences(saved.get(key), given.get(key), f"{name}.{key}".strip("."))]
    return [] if saved == given else [f"{name} was {saved}, is {given}"]
