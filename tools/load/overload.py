"""Four times as many requests as the server can answer: those too many must be refused at once, and it must stay alive."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from load.pictures import Picture
from load.program import Program
from load.results import Figure, percentile, spread_ms
from load.wire import Connection, picture_request, request

FACTOR = 4
REFUSED_MS = 100.0
ALIVE_MS = 100.0
ALIVE_EVERY_S = 0.05
NORMAL_AGAIN_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of one arrival."""

    code: str
    retry_after: str | None
    seconds: float


Send = Callable[[int], Awaitable[Outcome]]


def overload(
    program: Program, pictures: list[Picture], *, seconds: float, rpc: bool = False, factor: float = FACTOR
) -> list[Figure]:
    """Measure.

    Args:
        program: the server, otherwise idle.
        pictures: to send, again and again.
        seconds: of the overload.
        rpc: over gRPC instead of HTTP.
        factor: arrivals per request that the server can answer.
    """
    return asyncio.run(_overload(program, pictures, seconds, rpc, factor))


async def _overload(program: Program, pictures: list[Picture], seconds: float, rpc: bool, factor: float) -> list[Figure]:
    requests = [picture_request(program.address, picture.jpeg) for picture in pictures]
    sender = _Rpc(program, pictures) if rpc else _Http(program, requests)
    try:
        single = await _singles(sender.send, 20)
        normal = percentile(single, 0.5)
        capacity = await _capacity(sender.send, min(10, seconds))
        watch = asyncio.create_task(_watch(program.address))
        start = time.perf_counter()
        outcomes, late = await _arrivals(sender.send, factor * capacity, seconds)
        elapsed = time.perf_counter() - start
        back = await _until_normal(sender.send, max(1.2 * normal, normal + 0.05), start + seconds)
        watch.cancel()
        alive = (await asyncio.gather(watch, return_exceptions=True))[0]
        assert isinstance(alive, list), alive
    finally:
        await sender.close()
    refused, good = ("RESOURCE_EXHAUSTED", "OK") if rpc else ("503", "200")
    codes = Counter(outcome.code for outcome in outcomes)
    no = [outcome for outcome in outcomes if outcome.code == refused]
    yes = [outcome.seconds for outcome in outcomes if outcome.code == good]
    others = {code: count for code, count in codes.items() if code not in (refused, good)}
    return [
        Figure("capacity, requests/s", capacity),
        Figure("unloaded latency, p50 ms", 1e3 * normal),
        Figure("arrivals", len(outcomes)),
        Figure("arrivals/s", len(outcomes) / seconds),
        Figure("the generator's own lateness, p99 ms", 1e3 * percentile(late, 0.99)),
        Figure(f"answered with {good}", codes[good]),
        Figure(f"{good}/s as a share of the capacity", codes[good] / elapsed / capacity),
        Figure.at_least(f"refused with {refused}", codes[refused], 1),
        Figure.none("any other outcome", [code for code, count in others.items() for _ in range(count)]),
        Figure.exactly("refused without retry-after", sum(not outcome.retry_after for outcome in no), 0),
        *spread_ms(f"{refused}", [outcome.seconds for outcome in no], p99=REFUSED_MS),
        *spread_ms("admitted", yes),
        *spread_ms("/v2/health/live meanwhile", [seconds for status, seconds in alive if status == 200], most=ALIVE_MS),
        Figure.exactly("/v2/health/live not 200", sum(status != 200 for status, _ in alive), 0),
        Figure.at_most("seconds until single requests are as fast as before", back, NORMAL_AGAIN_S, speed=True),
    ]


class _Http:
    """Requests on pooled connections."""

    def __init__(self, program: Program, requests: list[bytes]) -> None:
        self._address, self._requests, self._idle = program.address, requests, deque[Connection]()

    async def send(self, number: int) -> Outcome:
        connection = self._idle.pop() if self._idle else Connection(self._address)
        reply = await connection.send(self._requests[number % len(self._requests)])
        self._idle.append(connection)
        return Outcome(str(reply.status), reply.headers.get("retry-after"), reply.seconds)

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()


class _Rpc:
    """Requests on a few channels."""

    def __init__(self, program: Program, pictures: list[Picture], channels: int = 4) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._channels = [grpc.aio.insecure_channel(program.grpc, options) for _ in range(channels)]
        self._stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in self._channels]
        self._requests = [infer_request(program.model(), picture) for picture in pictures]

    async def send(self, number: int) -> Outcome:
        start = time.perf_counter()
        try:
            await self._stubs[number % len(self._stubs)].ModelInfer(self._requests[number % len(self._requests)], timeout=60)
        except grpc.aio.AioRpcError as error:
            wait = dict(error.trailing_metadata() or ()).get("retry-after")
            return Outcome(error.code().name, str(wait) if wait else None, time.perf_counter() - start)
        return Outcome("OK", None, time.perf_counter() - start)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def infer_request(model: dict[str, Any], picture: Picture) -> Any:
    """The message that asks for a picture's class map."""
    data = picture.frame[np.newaxis]
    message = service_pb2.ModelInferRequest(model_name=model["name"])
    message.inputs.add(name=model["inputs"][0]["name"], datatype="UINT8", shape=data.shape)
    message.outputs.add(name=model["outputs"][0]["name"])
    message.raw_input_contents.append(data.tobytes())
    return message


async def _singles(send: Send, count: int) -> list[float]:
    return [(await send(number)).seconds for number in range(count)][count // 4 :]


async def _capacity(send: Send, seconds: float, clients: int = 6) -> float:
    """Requests per second in a closed loop."""
    start, done = time.perf_counter(), 0

    async def work(number: int) -> None:
        nonlocal done
        while time.perf_counter() - start < seconds:
            outcome = await send(number + done)
            done += outcome.code in ("200", "OK")

    await asyncio.gather(*(work(number) for number in range(clients)))
    return done / (time.perf_counter() - start)


async def _arrivals(send: Send, rate: float, seconds: float) -> tuple[list[Outcome], list[float]]:
    """An open loop: requests begin when they are due, however many are under way. Gives also how late each was begun."""
    start, late, tasks = time.perf_counter(), [], []
    for number in range(round(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late.append(time.perf_counter() - due)
        tasks.append(asyncio.ensure_future(send(number)))
    return list(await asyncio.gather(*tasks)), late


async def _watch(address: tuple[str, int]) -> list[tuple[int, float]]:
    """Status and seconds of `/v2/health/live`, again and again until cancelled."""
    alive, health = [], request(address, "GET", "/v2/health/live")
    async with Connection(address) as connection:
        try:
            while True:
                reply = await connection.send(health)
                alive.append((reply.status, reply.seconds))
                await asyncio.sleep(max(0.0, ALIVE_EVERY_S - reply.seconds))
        except asyncio.CancelledError:
            return alive


async def _until_normal(send: Send, bar: float, end: float, most: float = 30.0) -> float:
    """Seconds from `end` to the first of five single requests in a row that all take no more than `bar` seconds."""
    row, began = 0, end
    while time.perf_counter() - end < most:
        now = time.perf_counter()
        good = (await send(0)).seconds <= bar
        row, began = (row + 1, began if row else now) if good else (0, now)
        if row == 5:
            return began - end
    return most
