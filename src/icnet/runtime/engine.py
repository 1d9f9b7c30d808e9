"""A compiled model: arrays in, raw output out, in OpenVINO and without Keras."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakSet

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from icnet.base.classes import Classes
from icnet.base.cores import available_cores, visible_cores
from icnet.base.errors import ModelError, UsageError, check_counts
from icnet.network.openvino_model import INPUT, Output, openvino_model
from icnet.network.registry import is_ir, read_model
from icnet.network.spec import DEFAULT_MODEL
from icnet.network.weights import parse_weights
from icnet.runtime.cache import compile_cached
from icnet.runtime.core import check_process, core, never_free_in_forks
from icnet.runtime.ir import check_contract, read_classes, read_ir
from icnet.runtime.trial import last_line

T = TypeVar("T")


@dataclass(frozen=True)
class EngineOptions:
    """How a model is compiled and run."""

    size_hw: tuple[int, int] | None = None
    """H and W of the input; the model's own if not given. An IR's size cannot be changed."""
    threads: int | None = None
    """CPU threads; as many as `icnet.base.cores.available_cores` if not given."""
    streams: int = 1
    """Images worked on side by side, each by its share of the threads: 1 gives the lowest latency, more a higher rate."""
    cache: bool = False
    """Keep the compiled model on disk for the next start, see `icnet.runtime.cache`."""

    def __post_init__(self) -> None:
        check_counts(self, "threads", "streams")


class Engine:
    """A model ready to run on this machine's CPU.

    A pickle or copy of it is its name or path, absolute, and its options: the model is loaded again from that.

    Attributes:
        name: the published or described name; for an IR the file's stem.
        output: what `infer` returns: `logits`, `soft` or `index`.
        size_hw: H and W that `infer` takes.
        classes: what the network answers.
        sha256: of the bytes that run here, see `icnet.network.stored.Stored`; the files may have changed since.
        from_cache: whether the compiled model lay on the disk already.
    """

    name: str
    output: Output
    size_hw: tuple[int, int]
    classes: Classes

    def __init__(self, model: str | Path = DEFAULT_MODEL, options: EngineOptions | None = None) -> None:
        """Load and compile.

        Args:
            model: a published name, a `.safetensors` weight file, the `.xml` of an OpenVINO IR, or `hf://USER/NAME[@REVISION]`.
            options: size, threads, streams, cache.

        Raises:
            ModelError: there is no such model, or its file is damaged or not one of this project's.
            UsageError: the size does not fit the model.
        """
        self.options = options or EngineOptions()
        self._process = os.getpid()
        size_hw, stored = self.options.size_hw, read_model(str(model))
        self._source = str(model) if stored.path.stem == str(model) else os.path.abspath(stored.path)
        self.sha256 = stored.sha256
        if is_ir(str(stored.path)):
            self.name = stored.path.stem
            network = read_ir(stored)
            self.output, self.size_hw = check_contract(network, stored.path)
            self.classes = read_classes(network, stored.path)
            if size_hw not in (None, self.size_hw):
                raise UsageError(
                    f"{model} takes only {self.size_hw[0]}x{self.size_hw[1]} (height x width): use .safetensors weights"
                )
        else:
            weights = parse_weights(stored)
            self.name, self.output, self.size_hw = weights.spec.name, "logits", size_hw or weights.spec.size_hw
            self.classes = weights.spec.classes
            network = openvino_model(weights, output=self.output, size_hw=self.size_hw)
        # Full float32 where the weights are: classes must not depend on whether a CPU happens to have bfloat16.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if self.options.streams > 1:
            settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(self.options.streams)}
        threads, cores = self.options.threads or available_cores(), visible_cores()
        if self.options.threads is not None or threads != cores:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        if threads < cores:  # pinned threads of every process would share the first cores
            settings["ENABLE_CPU_PINNING"] = False
        try:
            network = with_bytes(network)
            if self.options.cache:
                compiled, self.from_cache = compile_cached(network, settings, f"{self.sha256} {self.size_hw}")
            else:
                compiled, self.from_cache = core().compile_model(network, "CPU", settings), False
        except (RuntimeError, MemoryError) as error:
            raise ModelError(
                f"{model} cannot be run by OpenVINO ({last_line(error)}): free some memory, or get it anew"
            ) from error
        # While one image is worked on by a stream, the next one waits for it: no stream ever waits for Python.
        self._requests = [compiled.create_infer_request() for _ in range(self.options.streams + 1)]
        self._free = deque(self._requests)
        _ENGINES.add(self)
        self._change = threading.Condition()
        self._streaming = False

    def __reduce__(self) -> tuple[type["Engine"], tuple[str, EngineOptions]]:
        return type(self), (self._source, self.options)

    def infer(self, data: np.ndarray) -> np.ndarray:
        """Run the network once; of calls from several threads, `streams` + 1 are under way at most and the others wait.

        Args:
            data: (1, H, W, 3) uint8 BGR of `size_hw`; see `icnet.runtime.preprocess.resize_frame`.

        Returns:
            `logits` (1, C, H/4, W/4) float32, `soft` (1, C, H, W) float32 or `index` (1, H, W) integer; the caller's own copy.

        Raises:
            UsageError: a stream is open, or this process was forked off since.
        """
        self._check(data)
        check_process(self._process)
        with self._change:
            self._refuse_while_streaming()
            self._change.wait_for(lambda: self._free)
            request = self._free.pop()
        try:
            results = request.infer({INPUT: np.ascontiguousarray(data)}, share_inputs=True)
        finally:
            with self._change:
                self._free.append(request)
                self._change.notify_all()
        return cast(np.ndarray, results[0])

    def stream(
        self, items: Iterable[T], data: Callable[[T], np.ndarray | None]
    ) -> Generator[tuple[T, np.ndarray | None], None, None]:
        """Run the network on one image after another, asynchronously.

        While the network works, the caller has the results before and `items` and `data` prepare the next: `streams` + 1
        images are on their way at most. Nobody else can use the engine until the iterator is exhausted or closed.

        Args:
            items: what belongs to an image.
            data: gives the image of an item, as `infer` takes it, which must not change until the item is yielded; None for an
                item without one.

        Yields:
            Each item with its raw output, in the order of `items`; with None if it had no image. The output has the shape and
            type that `infer` gives, but holds good only until the next one is asked for.

        Raises:
            UsageError: another stream is open, or this process was forked off since.
        """
        check_process(self._process)
        busy = deque[tuple[T, ov.InferRequest | None]]()
        with self._alone() as free:
            try:
                for item in items:
                    image = data(item)
                    while busy and (busy[0][1] is None or len(busy) > self.options.streams):
                        yield self._finished(busy[0])
                        _, done = busy.popleft()
                        if done is not None:
                            free.append(done)
                    request = None if image is None else free.popleft()
                    if request is not None and image is not None:
                        self._check(image)
                        request.start_async({INPUT: np.ascontiguousarray(image)}, share_inputs=True)
                    busy.append((item, request))
                while busy:
                    yield self._finished(busy[0])
                    busy.popleft()
            finally:
                for _, request in busy:
                    if request is not None:
                        request.wait()

    @contextmanager
    def _alone(self) -> Iterator[deque[ov.InferRequest]]:
        """Within the block all requests belong to the caller; calls of `infer` that were under way have ended."""
        with self._change:
            self._refuse_while_streaming()
            self._streaming = True
        try:
            with self._change:
                self._change.wait_for(lambda: len(self._free) == len(self._requests))
                self._free.clear()
            try:
                yield deque(self._requests)
            finally:
                with self._change:
                    self._free.extend(self._requests)
        finally:
            with self._change:
                self._streaming = False
                self._change.notify_all()

    def _refuse_while_streaming(self) -> None:
        if self._streaming:
            raise UsageError("the engine is at work on a stream: exhaust or close that first, or use another engine")

    @staticmethod
    def _finished(first: tuple[T, ov.InferRequest | None]) -> tuple[T, np.ndarray | None]:
        item, request = first
        if request is None:
            return item, None
        request.wait()
        return item, cast(np.ndarray, request.get_output_tensor(0).data)

    def _check(self, data: np.ndarray) -> None:
        assert data.shape == (1, *self.size_hw, 3), f"{data.shape} for an input of {self.size_hw}"
        assert data.dtype == np.uint8, data.dtype


_ENGINES = WeakSet[Engine]()
never_free_in_forks(lambda: [request for engine in _ENGINES for request in engine._requests])


def with_bytes(network: ov.Model) -> ov.Model:
    """The same model for images of uint8, as they come from a camera; the conversion becomes part of the graph."""
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8)
    return steps.build()
