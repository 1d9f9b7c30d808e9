"""A request for inference as it comes over HTTP, and its response."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from icnet.serve.errors import BadRequest
from icnet.serve.http.validation import validated
from icnet.serve.inference import protocol
from icnet.serve.inference.json_body import JsonBody, read_json
from icnet.serve.inference.schemas import InferenceRequest, RequestInput
from icnet.serve.inference.tensors import from_bytes, from_json, to_bytes, to_json
from icnet.serve.limits import Limits
from icnet.serve.models import Served
from icnet.serve.service import Service
from icnet.serve.statistics import Recording

HEADER = "Inference-Header-Content-Length"
"""Bytes of JSON before the binary data; without it the whole body is JSON."""

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class InferenceResponse:
    """What is sent back."""

    pieces: list[bytes | memoryview]
    """Of the body."""
    json_bytes: int | None
    """How long the JSON is before the binary data; None if all is JSON."""

    @property
    def size_bytes(self) -> int:
        """Of the body."""
        return sum(map(len, self.pieces))


def respond(
    service: Service, served: Served, body: bytes, lengths: Sequence[str], recording: Recording | None = None
) -> InferenceResponse:
    """Respond to a request; for a worker's thread. `lengths` are the headers that tell how long the JSON of its body is.

    Raises:
        BadRequest, TooLarge: the request is wrong.
    """
    recording = recording or Recording(service.metrics, time.perf_counter_ns())
    recording.served = served
    with recording.stage("decode"):
        json, binary = _divided(body, lengths)
        parsed = read_json(json, service.limits.json_depth, array_at=("inputs", 0, "data"))
        request = validated(InferenceRequest, parsed.document)
        protocol.check_parameters(request.parameters)
        binary_names = _binary_names(request)
        names = protocol.wanted(served, [output.name for output in request.outputs])
        data = _data(request.inputs[0], parsed, binary, service.limits)
        recording.pictures = len(data)
    with recording.stage("segment"):
        results = protocol.infer(served, data, names)
    with recording.stage("encode"):
        about = {"model_name": served.name, "model_version": served.version}
        if request.id is not None:
            about["id"] = request.id
        return _encoded(about, results, set(names) if binary_names is None else binary_names)


def _divided(body: bytes, lengths: Sequence[str]) -> tuple[bytes, memoryview]:
    """The JSON and what follows it."""
    if not lengths:
        return body, memoryview(b"")
    if len(lengths) > 1 or not _NUMBER.fullmatch(lengths[0]):
        raise BadRequest(f"{HEADER} must be one whole number: the bytes of JSON before the binary data")
    length = int(lengths[0])
    if length > len(body):
        raise BadRequest(f"{HEADER} says {length} bytes of JSON and the whole body has {len(body)}")
    return body[:length], memoryview(body)[length:]


def _binary_names(request: InferenceRequest) -> set[str] | None:
    """Names of the outputs that are wanted as binary data; None means all of them, whatever they are."""
    by_default = _flag(request.parameters, "binary_data_output", False)
    for output in request.outputs:
        protocol.check_parameters(output.parameters)
    chosen = {output.name for output in request.outputs if _flag(output.parameters, "binary_data", by_default)}
    return None if by_default and not request.outputs else chosen


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"the parameter {name} must be true or false")
    return value


def _data(tensor: RequestInput, parsed: JsonBody, binary: memoryview, limits: Limits) -> np.ndarray:
    protocol.check_parameters(tensor.parameters)
    protocol.check_input(tensor.name, tensor.datatype, tensor.shape, limits)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise BadRequest(f"{tensor.name} has no values: send them as data, or behind the JSON with binary_data_size")
        if len(binary):
            raise BadRequest(f"{len(binary)} bytes follow the JSON and no input has a binary_data_size")
        return from_json(parsed.text(tensor.data), tensor.shape)
    if tensor.data is not None:
        raise BadRequest(f"{tensor.name} has both data and binary_data_size: send one of them")
    if type(size) is not int or size != len(binary):
        raise BadRequest(f"binary_data_size must be the number of bytes that follow the JSON, {len(binary)} here")
    return from_bytes(binary, tensor.shape)


def _encoded(about: dict[str, str], results: dict[str, np.ndarray], binary_names: set[str]) -> InferenceResponse:
    json: list[bytes] = [orjson.dumps(about)[:-1], b',"outputs":[']
    binary: list[memoryview] = []
    for position, (name, values) in enumerate(results.items()):
        head: dict[str, Any] = {"name": name, "datatype": protocol.DATATYPES[values.dtype], "shape": values.shape}
        if position:
            json.append(b",")
        if name in binary_names:
            binary.append(to_bytes(values))
            json.append(orjson.dumps(head | {"parameters": {"binary_data_size": values.nbytes}}))
        else:
            json += [orjson.dumps(head)[:-1], b',"data":', *to_json(values), b"}"]
    json.append(b"]}")
    return InferenceResponse([*json, *binary], sum(map(len, json)) if binary else None)
