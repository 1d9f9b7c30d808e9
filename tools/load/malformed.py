"""Seeded generators of gRPC calls and uploads that no honest client sends."""

from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from load.program import Program

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_TEXTS = ["", "\x00", "../../etc/passwd", "x" * 5000, "\U0001f6a7", "FP32", "BYTES", "uint8", "%s%n", "a\r\nb: c", "\u202e"]
_SHAPES = [
    [],
    [1],
    [0, 0, 0, 0],
    [1, 1 << 62, 1 << 62, 3],
    [-1, 16, 16, 3],
    [1, 16, 16, 4],
    [2, 16, 16, 3],
    [1] * 500,
    [1, 3, 16, 16],
]


def malformed_calls(address: str, model: dict[str, Any], count: int, *, seed: int = 0) -> Counter[str]:
    """Send calls of which each has one to three faults.

    Args:
        address: of the server.
        model: its metadata.
        count: how many.
        seed: of the faults.

    Returns:
        Names of gRPC codes and how often each came.
    """
    codes: Counter[str] = Counter()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(_INFER)  # bytes in, bytes out
        for number in range(count):
            data = malformed(model, np.random.default_rng([seed, number]))
            try:
                call(data, timeout=30)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1
    return codes


def malformed(model: dict[str, Any], rng: np.random.Generator) -> bytes:
    """One broken `ModelInferRequest`."""
    message = service_pb2.ModelInferRequest(model_name=model["name"], id="id")
    message.inputs.add(name=model["inputs"][0]["name"], datatype="UINT8", shape=[1, 16, 16, 3])
    message.raw_input_contents.append(rng.bytes(768))
    for _ in range(rng.integers(1, 4)):
        _FAULTS[rng.integers(len(_FAULTS))](message, rng)
    data = message.SerializeToString()
    kind = rng.integers(8)
    if kind == 0:
        return data[: rng.integers(len(data) + 1)]
    if kind == 1:
        return data[:40] + rng.bytes(8) + data[48:]
    return rng.bytes(200) if kind == 2 else data


def _text(rng: np.random.Generator) -> str:
    return _TEXTS[rng.integers(len(_TEXTS))]


def _shape(message: Any, rng: np.random.Generator) -> None:
    for tensor in message.inputs:
        tensor.shape[:] = _SHAPES[rng.integers(len(_SHAPES))]


def _datatype(message: Any, rng: np.random.Generator) -> None:
    for tensor in message.inputs:
        tensor.datatype = _text(rng)


def _input_name(message: Any, rng: np.random.Generator) -> None:
    for tensor in message.inputs:
        tensor.name = _text(rng)


def _no_input(message: Any, rng: np.random.Generator) -> None:
    del message.inputs[:]


def _many_inputs(message: Any, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 300)):
        message.inputs.add(name=_text(rng), datatype="UINT8", shape=[1, 16, 16, 3])


def _raw(message: Any, rng: np.random.Generator) -> None:
    del message.raw_input_contents[:]
    message.raw_input_contents.extend(rng.bytes(int(rng.integers(2000))) for _ in range(rng.integers(4)))


def _contents(message: Any, rng: np.random.Generator) -> None:
    if rng.integers(2):
        del message.raw_input_contents[:]
    for tensor in message.inputs:
        tensor.contents.uint_contents.extend(map(int, rng.integers(0, 1 << 32, rng.integers(1000))))
        tensor.contents.fp32_contents.extend([float("nan")] * int(rng.integers(3)))
        tensor.contents.bytes_contents.extend([rng.bytes(9)] * int(rng.integers(3)))


def _model(message: Any, rng: np.random.Generator) -> None:
    message.model_name, message.model_version = _text(rng), _text(rng)


def _output(message: Any, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 300)):
        message.outputs.add(name=_text(rng))


def _parameters(message: Any, rng: np.random.Generator) -> None:
    for holder in (message, *message.inputs):
        holder.parameters["shared_memory_region"].string_param = _text(rng)
        holder.parameters["shared_memory_byte_size"].int64_param = int(rng.integers(-(1 << 62), 1 << 62))
        holder.parameters[_text(rng)].bool_param = True


def _id(message: Any, rng: np.random.Generator) -> None:
    message.id = _text(rng) * 10


_FAULTS = (
    _shape, _datatype, _input_name, _no_input, _many_inputs, _raw, _contents, _model, _output, _parameters, _id,
)  # fmt: skip


_NAMES = rb"""
. .. / \ ~ ~/x.png -rf --help |id ;id $(id) `id` %00 ../x.png ..\x.png %2e%2e%2fx.png ..%c0%afx.png ....//x.png ./../x.png
a/../../x.png \\server\share\x.png C:\x.png C:x.png CON NUL.png aux x.png:stream ../../../../../../../../../../../../tmp/x.png
../../../../../../../../../proc/self/mem /dev/stdout /dev/full /proc/self/fd/1 serve.log ../serve.log a"b.png a\\"b.png a'b.png
a;b=c.png <script>.png {{7*7}} %s%n%x x.svg x.php x.png.exe file:///etc/passwd http://127.0.0.1/x.png
""".split()


def hostile_names(outside: Path) -> list[bytes]:
    """File names of uploads that try to be more than names; some point into the folder `outside`."""
    absolute = [bytes(outside / name) for name in ("absolute.png", "some/levels/absolute.png", "home/.bashrc")]
    odd = [b"", b" ", b"x.png ", b"a\tb.png", b"\0.png", b"a\0.png", b"\xff\xfe\xfd", b"\x1b[2J", b"\x7f"]
    unicode = [name.encode() for name in ("\u202egnp.exe", "\ufeffx.png", "e\u0301" * 200)]
    return [*_NAMES, *absolute, *odd, *unicode, *(b"x" * size + b".png" for size in (255, 256, 4096, 10_000))]


def upload_codes(program: Program, jpeg: bytes, outside: Path) -> Counter[str]:
    """Upload a picture under each of the names.

    Args:
        program: the server.
        jpeg: the picture.
        outside: a folder that will be looked at afterwards.

    Returns:
        HTTP statuses and how often each came.
    """
    codes: Counter[str] = Counter()
    for name in hostile_names(outside):
        part = (
            b'Content-Disposition: form-data; name="image"; filename="' + name + b'"\r\nContent-Type: image/jpeg\r\n\r\n' + jpeg
        )
        body = b"--edge\r\n" + part + b"\r\n--edge--\r\n"
        status, _ = program.ask(
            "POST", "/v1/segment", body, content_type="multipart/form-data; boundary=edge", accept="image/png"
        )
        codes[str(status)] += 1
    return codes
