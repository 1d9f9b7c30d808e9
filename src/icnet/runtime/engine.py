"""A compiled model: arrays in, raw output out, in OpenVINO and without Keras."""

import threading
from pathlib import Path
from typing import cast

import numpy as np
import openvino as ov

from icnet.base.errors import ModelError, UsageError
from icnet.base.registry import find_weights
from icnet.base.spec import DEFAULT_MODEL
from icnet.runtime.graph import INPUT, OUTPUTS, Output, openvino_model

_CONTRACT = f"expected one input {INPUT!r} (1, H, W, 3) and one output named {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}"


class Engine:
    """A model ready to run on this machine's CPU.

    Attributes:
        name: the published or described name; for an IR the file's stem.
        output: what `infer` returns: `logits`, `soft` or `index`.
        size_hw: H and W that `infer` takes.
    """

    name: str
    output: Output
    size_hw: tuple[int, int]

    def __init__(
        self, model: str | Path = DEFAULT_MODEL, *, size_hw: tuple[int, int] | None = None, threads: int | None = None
    ) -> None:
        """Load and compile.

        Args:
            model: a published name, a `.safetensors` weight file, or the `.xml` of an OpenVINO IR.
            size_hw: H and W of the input; the model's own if not given. An IR's size cannot be changed.
            threads: how many CPU threads to use; all cores if not given.

        Raises:
            ModelError: there is no such model, or its file is damaged or not one of this project's.
            UsageError: the size does not fit the model, or `threads` is not positive.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"the number of threads must be 1 or more, not {threads}")
        if Path(model).suffix == ".xml":
            self.name = Path(model).stem
            network = read_ir(Path(model))
            self.output, self.size_hw = check_contract(network, Path(model))
            if size_hw not in (None, self.size_hw):
                raise UsageError(
                    f"{model} takes only {self.size_hw[0]}x{self.size_hw[1]} (height x width): export it in another size"
                )
        else:
            weights = find_weights(str(model))
            self.name, self.output, self.size_hw = weights.spec.name, "logits", size_hw or weights.spec.size_hw
            network = openvino_model(weights, output=self.output, size_hw=self.size_hw)
        # Full float32 where the weights are: classes must not depend on whether a CPU happens to have bfloat16.
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        self._request = ov.Core().compile_model(network, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    def infer(self, data: np.ndarray) -> np.ndarray:
        """Run the network once; calls from several threads wait for each other.

        Args:
            data: (1, H, W, 3) float32 BGR, 0 to 255, of `size_hw`; see `icnet.runtime.preprocess.resize_frame`.

        Returns:
            `logits` (1, 12, H/4, W/4) float32, `soft` (1, 12, H, W) float32 or `index` (1, H, W) integer; the caller's own copy.
        """
        assert data.shape == (1, *self.size_hw, 3), f"{data.shape} for an input of {self.size_hw}"
        with self._lock:
            results = self._request.infer({INPUT: np.ascontiguousarray(data, np.float32)}, share_inputs=True)
        return cast(np.ndarray, results[0])


def read_ir(path: Path) -> ov.Model:
    """Read an OpenVINO IR.

    Raises:
        ModelError: the `.xml` or its `.bin` is missing or damaged.
    """
    if not path.is_file():
        raise ModelError(f"no model file at {path}: give a model name or the path of a .safetensors or .xml file")
    binary = path.with_suffix(".bin")
    if not binary.is_file():
        raise ModelError(f"{path} has no weights beside it: {binary.name} must lie in the same folder")
    try:
        return ov.Core().read_model(path, binary)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelError(f"{path} is not a readable OpenVINO model ({reason}): export it again") from error


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
    if (batch, channels) != (1, 3) or given.rank.is_dynamic or given.rank.get_length() != expected:
        raise ModelError(f"{path} maps {taken[0].partial_shape} to {given}: {_CONTRACT}")
    return outputs[0], (height, width)
