"""The Open Inference Protocol over gRPC, in the event loop that serves HTTP too."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from icnet.serve.errors import BadRequest
from icnet.serve.inference import protocol, wire
from icnet.serve.inference.guard import Call, Guard
from icnet.serve.inference.messages import SERVICE, message_class
from icnet.serve.inference.tensors import from_bytes, from_varints, to_bytes
from icnet.serve.limits import Limits
from icnet.serve.models import Served
from icnet.serve.service import Service
from icnet.serve.statistics import Recording

_SLACK_BYTES = 64 * 1024
"""Beside the values of a tensor, so that a picture that HTTP takes is not too large here."""

_STREAMS = 64
"""Calls of one connection that run at a time; the client holds back the others."""

_AGE_SECONDS, _LAST_CALLS_SECONDS = 600, 60
"""Of a connection, and then for the calls that it has begun: gRPC reads headers that never end, and keeps nothing of them."""

_INPUTS, _RAW = 5, 7
_CONTENTS = 5  # of an input
_INT, _UINT = 2, 4  # of contents
_CUT = {_INPUTS: {_CONTENTS: {_INT: None, _UINT: None}}, _RAW: None}
"""Fields of a ModelInferRequest that hold the values of tensors."""

_RAW_OUTPUT = 6
"""The field of a ModelInferResponse that does."""


def grpc_server(
    service: Service, address: str, *, credentials: grpc.ServerCredentials | None = None
) -> tuple[grpc.aio.Server, int]:
    """A server that has its port and is not yet started; to be called in the event loop.

    gRPC tells of a message only once it is whole, so that `Limits.buffered_bytes` counts complete ones. What is on its way is
    bounded by `Limits.connections` calls of `Limits.body_bytes` each, and by `Limits.body_seconds`. Fewer calls that send
    nothing keep nobody waiting.

    Args:
        service: what is served.
        address: `host:port`; port 0 is any that is free.
        credentials: of TLS.

    Returns:
        The server and its port.

    Raises:
        RuntimeError: the address cannot be listened on.
    """
    limits = service.limits
    # Compressed messages are taken: gRPC stops to inflate at the largest length that it receives.
    options = [
        ("grpc.max_receive_message_length", _int32(limits.body_bytes + _SLACK_BYTES)),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", _STREAMS),
        (
            "grpc.max_allowed_incoming_connections",
            2 * limits.connections,
        ),  # those beyond the calls are told that there is no room
        ("grpc.http.overload_protection", 0),  # it refuses streams with UNAVAILABLE, before we can say why and when to come again
        ("grpc.max_connection_idle_ms", _int32(1000 * limits.idle_seconds)),
        ("grpc.max_connection_age_ms", _int32(1000 * _AGE_SECONDS)),  # clients go on with a new one by themselves
        ("grpc.max_connection_age_grace_ms", _int32(1000 * _LAST_CALLS_SECONDS)),
        ("grpc.server_handshake_timeout_ms", _int32(1000 * limits.header_seconds)),
    ]
    server = grpc.aio.server(options=options)
    guard = Guard(service)
    # All are registered as taking a stream, which is the same for a client that sends one message: then a call begins before
    # its message is read, and can be refused without that.
    handlers = {
        name: grpc.stream_unary_rpc_method_handler(guard.guarded(name, call)) for name, call in _Calls(service).by_name().items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    return server, port


def _int32(value: float) -> int:
    """Options of gRPC hold no more."""
    return min(round(value), 2**31 - 1)


class _Calls:
    """The methods of the protocol."""

    def __init__(self, service: Service) -> None:
        self._service, self._reloads = service, protocol.Reloads(service)

    def by_name(self) -> dict[str, Call]:
        """All methods."""
        small: dict[str, Callable[[Any], Awaitable[dict[str, Any]]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        return {name: _decoded(name, method) for name, method in small.items()} | {"ModelInfer": self._infer}

    async def _server_live(self, _: Any) -> dict[str, Any]:
        return {"live": True}

    async def _server_ready(self, _: Any) -> dict[str, Any]:
        return {"ready": self._service.ready}

    async def _server_metadata(self, _: Any) -> dict[str, Any]:
        return protocol.SERVER

    async def _model_ready(self, request: Any) -> dict[str, Any]:
        self._service.models.get(request.name, request.version)
        return {"ready": self._service.ready}

    async def _model_metadata(self, request: Any) -> dict[str, Any]:
        return protocol.metadata(self._service.models.get(request.name, request.version))

    async def _model_config(self, request: Any) -> dict[str, Any]:
        served = self._service.models.get(request.name, request.version)
        return {"config": protocol.configuration(served, self._service.limits)}

    async def _model_statistics(self, request: Any) -> dict[str, Any]:
        return protocol.statistics(self._service, request.name, request.version)

    async def _index(self, request: Any) -> dict[str, Any]:
        _check_repository(request)
        return {"models": protocol.index(self._service)}

    async def _load(self, request: Any) -> dict[str, Any]:
        _check_repository(request)
        await self._reloads.load(request.model_name, request.parameters)
        return {}

    async def _unload(self, request: Any) -> NoReturn:
        _check_repository(request)
        self._reloads.unload(request.model_name)

    async def _infer(self, message: bytes) -> tuple[bytes, Served]:
        arrived_ns = time.perf_counter_ns()

        def work() -> tuple[bytes, Served]:
            with Recording(self._service.metrics, arrived_ns) as recording:
                return _inferred(self._service, message, recording)

        return await self._service.pool.run(work)


def _check_repository(request: Any) -> None:
    if request.repository_name:
        raise BadRequest("there is one repository here and it has no name: leave repository_name empty")


def _decoded(name: str, method: Callable[[Any], Awaitable[dict[str, Any]]]) -> Call:
    async def call(message: bytes) -> tuple[bytes, None]:
        request = _parsed(f"{name}Request", message)
        return message_class(f"{name}Response")(**await method(request)).SerializeToString(), None

    return call


def _parsed(name: str, message: bytes) -> Any:
    try:
        return message_class(name).FromString(message)
    except DecodeError as error:
        raise BadRequest(f"the message is no {name}") from error


def _inferred(service: Service, message: bytes, recording: Recording) -> tuple[bytes, Served]:
    """Make the reply to a ModelInferRequest; for a worker's thread."""
    with recording.stage("decode"):
        rest, parts = wire.without(message, _CUT)
        request = _parsed("ModelInferRequest", rest)
        recording.served = served = service.models.get(request.model_name, request.model_version)
        protocol.check_parameters(request.parameters)
        for output in request.outputs:
            protocol.check_parameters(output.parameters)
        names = protocol.wanted(served, [output.name for output in request.outputs])
        data = _data(request, parts, service.limits)
        recording.pictures = len(data)
    with recording.stage("segment"):
        results = protocol.infer(served, data, names)
    with recording.stage("encode"):
        return _response(served, request.id, results), served


def _data(request: Any, parts: list[tuple[wire.Path, memoryview]], limits: Limits) -> np.ndarray:
    if len(request.inputs) != 1:
        raise BadRequest(f"there must be one input, {protocol.INPUT}, not {len(request.inputs)}")
    tensor = request.inputs[0]
    protocol.check_parameters(tensor.parameters)
    protocol.check_input(tensor.name, tensor.datatype, tensor.shape, limits)
    raw = [part for path, part in parts if path == (_RAW,)]
    if not raw:
        packed = {kind: [part for path, part in parts if path == (_INPUTS, _CONTENTS, kind)] for kind in (_UINT, _INT)}
        single = {_UINT: tensor.contents.uint_contents, _INT: tensor.contents.int_contents}
        return from_varints([*packed[_UINT], *packed[_INT]], [*single[_UINT], *single[_INT]], tensor.shape)
    if len(raw) > 1 or len(parts) > 1 or tensor.contents.uint_contents or tensor.contents.int_contents:
        raise BadRequest("there must be one of raw_input_contents for the one input, and then no contents")
    return from_bytes(raw[0], tensor.shape)


def _response(served: Served, identity: str, results: dict[str, np.ndarray]) -> bytes:
    response = message_class("ModelInferResponse")(model_name=served.name, model_version=served.version, id=identity)
    for name, values in results.items():
        response.outputs.add(name=name, datatype=protocol.DATATYPES[values.dtype], shape=values.shape)
    raw = [to_bytes(values) for values in results.values()]
    return wire.with_parts(response.SerializeToString(), _RAW_OUTPUT, raw)
