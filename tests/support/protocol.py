"""The Open Inference Protocol for tests: both transports of it in a thread, and requests that are wrong."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from listening import listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from icnet.serve.errors import Refused
from icnet.serve.http.refusal import refusal
from icnet.serve.inference.messages import message_class
from icnet.serve.inference.routes import routes
from icnet.serve.inference.servicer import grpc_server
from icnet.serve.service import Service


@dataclass
class Both:
    """A service over both transports."""

    service: Service
    http: str
    """`host:port`, as are clients' URLs."""
    grpc: str
    loop: asyncio.AbstractEventLoop


@contextmanager
def serving_protocol(service: Service) -> Iterator[Both]:
    """Serve the protocol's routes, without what the whole server puts around them."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return refusal(error)

    app = Starlette(routes=routes(service), exception_handlers={Refused: refused})

    async def begin():
        rpc, port = grpc_server(service, "127.0.0.1:0")
        await rpc.start()
        return rpc, port

    with listening(service, app) as server:
        rpc, port = asyncio.run_coroutine_threadsafe(begin(), server.loop).result(20)
        try:
            yield Both(service, f"127.0.0.1:{server.port}", f"127.0.0.1:{port}", server.loop)
        finally:
            asyncio.run_coroutine_threadsafe(rpc.stop(2), server.loop).result(20)
            service.pool.close()


def picture(size_hw: tuple[int, int] = (60, 80), seed: int = 0) -> np.ndarray:
    """(1, H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (1, *size_hw, 3), dtype=np.uint8)


def infer_request(model: str, data: np.ndarray, *outputs: str):
    """A ModelInferRequest that is right."""
    request = message_class("ModelInferRequest")(model_name=model, raw_input_contents=[data.tobytes()])
    request.inputs.add(name="data", datatype="UINT8", shape=data.shape)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def malformed_requests(model: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """Encoded ModelInferRequests that are wrong in one way or several; a few may happen to be right."""
    chance = random.Random(seed)
    for _ in range(count):
        request = infer_request(model, picture((3, 4)), *chance.sample(["classes", "confidence", "logits"], chance.randint(0, 2)))
        for change in sorted(chance.sample(_CHANGES, chance.randint(1, 2)), key=_CHANGES.index):
            change(request, chance)
        encoded = bytearray(request.SerializeToString())
        if chance.random() < 0.4:
            _damage(encoded, chance)
        yield bytes(encoded)


def _side(chance: random.Random) -> int:
    return chance.choice([-(2**63), -1, 0, 1, 2, 3, 4, 5, 255, 2**31, 2**32, 2**62, 2**63 - 1])


def _shape(request, chance: random.Random) -> None:
    request.inputs[0].shape[:] = [_side(chance) for _ in range(chance.randint(0, 6))]


def _one_side(request, chance: random.Random) -> None:
    request.inputs[0].shape[chance.randrange(len(request.inputs[0].shape)) :] = [_side(chance)]


def _raw(request, chance: random.Random) -> None:
    request.raw_input_contents[:] = [chance.randbytes(chance.choice([0, 1, 35, 37, 72, 5000]))]


def _several(request, chance: random.Random) -> None:
    request.raw_input_contents.extend([b""] * chance.randint(1, 40))


def _no_values(request, chance: random.Random) -> None:
    del request.raw_input_contents[:]


def _contents(request, chance: random.Random) -> None:
    if chance.random() < 0.7:
        del request.raw_input_contents[:]
    count, contents = chance.choice([0, 1, 35, 36, 37, 4000]), request.inputs[0].contents
    contents.uint_contents.extend(chance.choice([0, 127, 128, 255, 256, 2**32 - 1]) for _ in range(count))
    if chance.random() < 0.5:
        contents.int_contents.extend(chance.choice([-1, 0, 300, -(2**31)]) for _ in range(count))


def _inputs(request, chance: random.Random) -> None:
    if chance.random() < 0.5:
        del request.inputs[:]
    else:
        request.inputs.append(request.inputs[0])


def _word(chance: random.Random) -> str:
    return chance.choice(["", "data", "Data", "UINT8", "FP32", "BYTES", "soft", "\x00", "é" * 300, "x" * 1000, "../../etc"])


def _names(request, chance: random.Random) -> None:
    setattr(request.inputs[0], chance.choice(["name", "datatype"]), _word(chance))


def _model(request, chance: random.Random) -> None:
    setattr(request, chance.choice(["model_name", "model_version"]), _word(chance))


def _outputs(request, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 2, 500])):
        request.outputs.add(name=_word(chance))


def _parameters(request, chance: random.Random) -> None:
    owner = chance.choice([request, request.inputs[0], request.outputs.add(name="classes")])
    owner.parameters[chance.choice(["classification", "shared_memory_region", "sequence_id", "other"])].SetInParent()


_CHANGES = [_one_side, _shape, _raw, _several, _no_values, _contents, _names, _model, _outputs, _parameters, _inputs]
"""Each works after those before it."""


def _damage(encoded: bytearray, chance: random.Random) -> None:
    """Wrong bytes, missing ones, more of them."""
    kind = chance.randrange(3)
    if kind == 0:
        for _ in range(chance.randint(1, 8)):
            encoded[chance.randrange(len(encoded))] = chance.randrange(256)
    elif kind == 1:
        del encoded[chance.randrange(len(encoded)) :]
    else:
        place = chance.randrange(len(encoded))
        encoded[place:place] = chance.randbytes(chance.randint(1, 20))
