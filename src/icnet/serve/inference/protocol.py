"""The Open Inference Protocol without a transport: what a model takes and gives, and what is done with a request.

https://github.com/kserve/open-inference-protocol describes the protocol; the repository is an extension of Triton's.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import numpy as np

from icnet import __version__
from icnet.base.errors import ModelError
from icnet.runtime.decode import decode, decode_confidence
from icnet.runtime.preprocess import resize_frame
from icnet.serve.errors import BadRequest, Draining, Forbidden, TooLarge
from icnet.serve.limits import Limits
from icnet.serve.models import Served
from icnet.serve.service import Service

INPUT, CLASSES, CONFIDENCE = "data", "classes", "confidence"

PLATFORM = "icnet_openvino"

SERVER = {
    "name": "icnet",
    "version": __version__,
    "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
}

DATATYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32"}

_NOT_DONE = (
    "classification", "sequence_id", "sequence_start", "sequence_end",
    "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset",
)  # fmt: skip
"""Parameters that change what a result means; all others may be ignored."""


def metadata(served: Served) -> dict[str, Any]:
    """What the protocol tells of a model."""
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1, *shape]} for name, (kind, shape) in _outputs(served).items()],
    }


def configuration(served: Served, limits: Limits) -> dict[str, Any]:
    """What the extension for configurations tells of a model: shapes are without the number of pictures."""
    outputs = _outputs(served).items()
    return {
        "name": served.name,
        "platform": PLATFORM,
        "backend": "icnet",
        "max_batch_size": limits.batch,
        "input": [{"name": INPUT, "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [-1, -1, 3]}],
        "output": [{"name": name, "data_type": f"TYPE_{kind}", "dims": shape} for name, (kind, shape) in outputs],
    }


def statistics(service: Service, name: str | None = None, version: str | None = None) -> dict[str, Any]:
    """What the extension for statistics tells of a model, or of all."""
    chosen = [service.models.get(name, version)] if name else list(service.models)
    about = [{"name": served.name, "version": served.version} | served.statistics.document() for served in chosen]
    return {"model_stats": about}


def _outputs(served: Served) -> dict[str, tuple[str, list[int]]]:
    """Name to datatype and shape for each picture; -1 is its own height and width."""
    engine = served.segmenter.engine
    outputs = {CLASSES: ("UINT8", [-1, -1])}
    if engine.output != "index":
        stride = 4 if engine.output == "logits" else 1
        outputs[CONFIDENCE] = ("UINT8", [-1, -1])
        outputs[engine.output] = ("FP32", [len(engine.classes), *(side // stride for side in engine.size_hw)])
    return outputs


def check_parameters(names: Collection[str]) -> None:
    """Refuse parameters that cannot be ignored.

    Raises:
        BadRequest: there is one.
    """
    for name in _NOT_DONE:
        if name in names:
            raise BadRequest(f"the parameter {name} is not supported: send the request without it")


def check_input(name: str, datatype: str, shape: Sequence[int], limits: Limits) -> None:
    """Refuse an input that is no pictures, height, width, 3.

    Raises:
        BadRequest: name, datatype (as the protocol names it) or shape is another one.
        TooLarge: it has more pictures or pixels than `limits` allow.
    """
    if name != INPUT:
        raise BadRequest(f"there is one input, {INPUT}, and no other")
    if datatype != "UINT8":
        raise BadRequest(f"{INPUT} must be of datatype UINT8")
    if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
        raise BadRequest(f"the shape of {INPUT} must be [pictures, height, width, 3], with at least one pixel")
    if shape[0] > limits.batch:
        raise TooLarge(f"there are more than {limits.batch} pictures, the limit here: send them in several requests")
    if shape[0] * shape[1] * shape[2] > limits.pixels:
        who, advice = ("the picture has", "make it smaller") if shape[0] == 1 else ("the pictures have", "send fewer at a time")
        raise TooLarge(f"{who} more than {limits.pixels} pixels, the limit here: {advice}")


def wanted(served: Served, names: Sequence[str]) -> tuple[str, ...]:
    """The outputs that a request gets: those of these names, or all if there is none.

    Raises:
        BadRequest: one does not exist, or twice in `names`.
    """
    outputs = tuple(_outputs(served))
    if not set(names).issubset(outputs):
        raise BadRequest(f"there is no such output of {served.name}: choose among {', '.join(outputs)}")
    if len(set(names)) != len(names):
        raise BadRequest("an output is asked for twice: name each once")
    return tuple(names) or outputs


def infer(served: Served, data: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Run a model on one picture after another of (N, H, W, 3) uint8 BGR; only the outputs of these names are computed.

    Returns:
        Name to output: `classes` and `confidence` (N, H, W) uint8, the network's own output as it comes.
    """
    each = [_infer(served, frame_bgr, names) for frame_bgr in data]
    return each[0] if len(each) == 1 else {name: np.concatenate([one[name] for one in each]) for name in names}


def _infer(served: Served, frame_bgr: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    engine = served.segmenter.engine
    raw = engine.infer(resize_frame(frame_bgr, engine.size_hw))
    results: dict[str, np.ndarray] = {engine.output: raw}
    threads = engine.options.threads
    if {CLASSES, CONFIDENCE}.intersection(names):
        height, width = frame_bgr.shape[:2]
        classes = decode(raw, engine.output, (height, width), threads=threads)
        results[CLASSES] = classes[np.newaxis]
        if CONFIDENCE in names:
            results[CONFIDENCE] = decode_confidence(raw, engine.output, classes, threads=threads)[np.newaxis]
    return {name: results[name] for name in names}


def index(service: Service) -> list[dict[str, str]]:
    """All models, as the repository extension lists them."""
    return [state(served) for served in service.models]


def state(served: Served) -> dict[str, str]:
    """One of them."""
    return {"name": served.name, "version": served.version, "state": "READY", "reason": ""}


class Reloads:
    """Reloads models from where the server found them when it was started, one at a time."""

    def __init__(self, service: Service) -> None:
        self._service, self._lock = service, asyncio.Lock()

    async def load(self, name: str, parameters: Collection[str]) -> Served:
        """Reload a model; the workers of requests are not needed for it, so that it happens under any load.

        Raises:
            BadRequest: there are parameters, or the files hold no fitting model; the version before goes on serving.
            NotFound: there is no such model.
            Draining: the server is about to end.
        """
        if parameters:
            raise BadRequest("the server only reads again what it was started with: send no config, files or other parameters")
        self._service.models.get(name)
        async with self._lock:
            if self._service.draining:
                raise Draining("the server is about to end: no model is loaded any more")
            try:
                return await asyncio.to_thread(self._service.models.reload, name)
            except ModelError as error:
                raise BadRequest(f"{error}; the version before goes on serving") from error

    def unload(self, name: str) -> NoReturn:
        """Refuse to unload a model.

        Raises:
            Forbidden: always.
            NotFound: there is no such model.
        """
        self._service.models.get(name)
        raise Forbidden("models cannot be unloaded: what the server was started with is served until it ends")
