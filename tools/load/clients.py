"""Clients of each protocol: a picture in, the digest of a class map out."""

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from load.pictures import Picture, classes_of, digest
from load.program import Program

KINDS = ("pictures", "tensors", "rpc")
"""`/v1/segment` with JPEG in and index PNG out; `/v2` over HTTP with binary tensors; `/v2` over gRPC."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    id: str
    """As the server echoes it."""
    version: str
    """Of the model."""
    digest: str
    """Of the class map."""


class Refusal(Exception):
    """An answer that is no class map.

    Attributes:
        code: HTTP status, or name of the gRPC code.
        retry_after: as given, or None.
    """

    def __init__(self, code: str, text: str, retry_after: str | None = None) -> None:
        super().__init__(f"{code}: {text[:200]}")
        self.code, self.retry_after = code, retry_after


class Client(Protocol):
    """One caller with one connection."""

    def ask(self, picture: Picture, id: str) -> Answer: ...

    def close(self) -> None: ...


class PictureClient:
    """JPEG in, index PNG out."""

    def __init__(self, program: Program) -> None:
        self._connection = http.client.HTTPConnection(*program.address, timeout=60)

    def ask(self, picture: Picture, id: str) -> Answer:
        headers = {"Content-Type": "image/jpeg", "Accept": "image/png", "X-Request-Id": id}
        self._connection.request("POST", "/v1/segment", picture.jpeg, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Refusal(str(answer.status), body.decode(errors="replace"), answer.getheader("Retry-After"))
        return Answer(answer.getheader("X-Request-Id", ""), answer.getheader("X-Model-Version", ""), digest(classes_of(body)))

    def close(self) -> None:
        self._connection.close()


class TensorClient:
    """Triton's own client, over HTTP with binary tensors or over gRPC."""

    def __init__(self, program: Program, *, rpc: bool = False) -> None:
        self._module: Any = triton_grpc if rpc else triton_http
        address = program.grpc if rpc else f"{program.address[0]}:{program.address[1]}"
        self._client = self._module.InferenceServerClient(address, **({} if rpc else {"network_timeout": 60.0}))
        model = program.model()
        self._name, self._input, self._output = model["name"], model["inputs"][0], model["outputs"][0]

    def ask(self, picture: Picture, id: str) -> Answer:
        data = picture.frame[np.newaxis]
        tensor = self._module.InferInput(self._input["name"], data.shape, self._input["datatype"])
        tensor.set_data_from_numpy(data)
        try:
            result = self._client.infer(
                self._name, [tensor], request_id=id, outputs=[self._module.InferRequestedOutput(self._output["name"])]
            )
        except InferenceServerException as error:
            raise Refusal(str(error.status()).removeprefix("StatusCode."), str(error.message())) from error
        response = result.get_response()
        classes = result.as_numpy(self._output["name"])
        version = response["model_version"] if isinstance(response, dict) else response.model_version
        return Answer(response["id"] if isinstance(response, dict) else response.id, version, digest(classes[0]))

    def close(self) -> None:
        self._client.close()


def client(kind: str, program: Program) -> Client:
    """A client of one of `KINDS`; belongs to the thread that makes it."""
    return PictureClient(program) if kind == "pictures" else TensorClient(program, rpc=kind == "rpc")


@dataclass(frozen=True)
class Asked:
    """A request of a closed loop, and what became of it."""

    number: int
    """Of its picture."""
    kind: str
    id: str
    answer: Answer | None
    fault: str
    """Empty if there is an answer."""


def closed_loop(
    program: Program,
    kinds: Sequence[str],
    picture: Callable[[int], Picture],
    *,
    numbers: Iterable[int] | None = None,
    stop: threading.Event,
) -> list[Asked]:
    """One client per entry of `kinds`, each with one request at a time, until `stop` or out of numbers.

    Args:
        program: the server.
        kinds: of the clients.
        picture: by number.
        numbers: of the pictures, taken by whoever is free; 0, 1, 2 and so on if not given.
        stop: ends it; what is in flight is waited for.
    """
    lock, supply, done = threading.Lock(), iter(itertools.count() if numbers is None else numbers), []

    def take() -> int | None:
        with lock:
            return next(supply, None)

    def work(kind: str, place: int) -> None:
        caller = client(kind, program)
        while not stop.is_set() and (number := take()) is not None:
            id, answer, fault = f"client{place}-{number}", None, ""
            try:
                answer = caller.ask(picture(number), id)
            except Exception as error:  # whatever it is, this request was not answered as it should be
                fault = f"{type(error).__name__}: {error}"
                caller.close()
                caller = client(kind, program)
                time.sleep(0.05)
            done.append(Asked(number, kind, id, answer, fault))
        caller.close()

    threads = [threading.Thread(target=work, args=(kind, place)) for place, kind in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done
