"""The models being served, each replaceable while requests run."""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from icnet.base.errors import IcnetError, ModelError, UsageError
from icnet.runtime.engine import EngineOptions
from icnet.runtime.segmenter import Segmenter
from icnet.serve.errors import NotFound
from icnet.serve.logs import event
from icnet.serve.metrics import Metrics
from icnet.serve.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Served:
    """One version of a model. A request takes it once and uses it to the end."""

    name: str
    version: str
    """Beginning of the SHA-256 of its files: the same version is the same model, on every server."""
    segmenter: Segmenter
    statistics: Statistics = field(default_factory=Statistics)


class Models:
    """Models by name. Lookups never wait for a reload."""

    def __init__(self, models: Sequence[str], options: EngineOptions, metrics: Metrics) -> None:
        """Load all.

        Args:
            models: published names or paths; the first is the default.
            options: how each is compiled.
            metrics: told of versions.

        Raises:
            ModelError: one cannot be loaded.
            UsageError: two have the same name.
        """
        self._options, self._metrics, self._reloading = options, metrics, threading.Lock()
        self._sources: dict[str, str] = {}
        self._served: dict[str, Served] = {}
        for model in models:
            served = self._load(model)
            if served.name in self._served:
                raise UsageError(f"two models are called {served.name}: give each of them once, or rename a file")
            self._sources[served.name], self._served[served.name] = model, served
            metrics.loaded(served.name, served.version, None)
        self.default = next(iter(self._served))

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """What is served under a name now, by default the first model; another `version` is refused, unless that is empty.

        Raises:
            NotFound: it is not served.
        """
        served = self._served.get(self.default if name is None else name)
        if served is None:
            raise NotFound(f"there is no such model here: choose one of {', '.join(self._served)}")
        if version and version != served.version:
            raise NotFound(f"{served.name} has version {served.version} here, and no other")
        return served

    def reload(self, name: str) -> Served:
        """Read a model from its files again and serve that from now on; it takes a second or two.

        Raises:
            NotFound: there is no such model.
            ModelError: the files hold no fitting model; the version before stays.
        """
        before = self.get(name)
        with self._reloading:
            try:
                served = self._load(self._sources[name])
                if served.name != name:
                    raise ModelError(f"the file of {name} holds {served.name} now: start another server for that")
            except (IcnetError, OSError, RuntimeError, MemoryError) as error:
                self._metrics.not_loaded(name)
                text = str(error) if isinstance(error, IcnetError) else f"the model cannot be loaded: {error}"
                text = text.splitlines()[0]
                event("not_reloaded", logging.ERROR, model=name, error=text)
                raise ModelError(text) from error
            before, self._served[name] = self._served[name], served
            self._metrics.loaded(name, served.version, before.version)
            event("reloaded", model=name, version=served.version)
        return served

    def _load(self, model: str) -> Served:
        """Load, and try once, so that a model that cannot run never serves."""
        segmenter = Segmenter(model, self._options)
        segmenter(np.zeros((*segmenter.engine.size_hw, 3), np.uint8))
        return Served(segmenter.engine.name, segmenter.engine.sha256[:12], segmenter)
