"""What pruning did, layer by layer."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from icnet.base.errors import UsageError
from icnet.pruning.channels import ChannelGraph, analyse
from icnet.pruning.masks import strip, to_numpy
from icnet.pruning.narrow import living_channels


@dataclass(frozen=True)
class ConvReport:
    """One convolution before and after; the totals have the same fields."""

    name: str
    inputs_before: int
    """Input channels."""
    inputs: int
    """Input channels that are left."""
    outputs_before: int
    """Output channels."""
    outputs: int
    """Output channels that are left."""
    kernel_weights_before: int
    """Kernel weights."""
    kernel_weights: int
    """Kernel weights between the channels that are left."""
    zeros: int
    """Zeros, masked ones too, in the whole kernel, removed channels included: of `kernel_weights_before`."""
    flops_before: int
    """Multiplications and additions for one image."""
    flops: int
    """Of these, what is left without the removed channels: what `compact` saves."""
    flops_nonzero: int
    """Of these, what involves a weight other than zero; engines without sparse kernels compute `flops` all the same."""


@dataclass(frozen=True)
class PruningReport:
    """Result of `report`; `str` gives a table."""

    layers: tuple[ConvReport, ...]
    total: ConvReport
    """Sums over the layers, depthwise convolutions left out: their channels go with those that they read."""

    @property
    def sparsity(self) -> float:
        """Share of zeros and removed weights among all kernel weights."""
        return self.total.zeros / self.total.kernel_weights_before

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {"layers": [asdict(layer) for layer in self.layers], "total": asdict(self.total), "sparsity": self.sparsity}

    def __str__(self) -> str:
        rows = [("layer", "in", "out", "kernel weights", "zeros", "MFLOPs", "non-zero")]
        for layer in (*self.layers, self.total):
            rows.append(
                (
                    layer.name,
                    f"{layer.inputs}/{layer.inputs_before}",
                    f"{layer.outputs}/{layer.outputs_before}",
                    f"{layer.kernel_weights:,}/{layer.kernel_weights_before:,}",
                    f"{layer.zeros / layer.kernel_weights_before:.2%}",
                    f"{layer.flops / 1e6:,.1f}/{layer.flops_before / 1e6:,.1f}",
                    f"{layer.flops_nonzero / 1e6:,.1f}",
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        template = "  ".join(f"{{:{'<' if column == 0 else '>'}{width}}}" for column, width in enumerate(widths))
        return "\n".join(template.format(*row) for row in rows)


def report(before: keras.Model, after: keras.Model, *, channelwise: Iterable[type] = ()) -> PruningReport:
    """Compare a model with what pruning made of it.

    Args:
        before: the model at full width.
        after: the same masked, stripped or compacted.
        channelwise: as for `analyse`.

    Raises:
        UsageError: the two differ in their convolutions, or have no fixed input size to count operations for.
    """
    wide = analyse(before, channelwise=channelwise)
    narrow = analyse(strip(after), channelwise=channelwise)
    alive = living_channels(narrow)
    names = [entry.layer.name for entry in wide.convolutions]
    if {entry.layer.name for entry in narrow.convolutions} != set(names):
        raise UsageError(f"{before.name} and {after.name} differ in their convolutions: give two states of the same network")
    layers = tuple(_compare(name, wide, narrow, alive) for name in names)
    counts = [field for field in asdict(layers[0]) if field != "name"]
    total = ConvReport("total", **{field: sum(getattr(layer, field) for layer in layers) for field in counts})
    return PruningReport(layers, total)


def _compare(name: str, wide: ChannelGraph, narrow: ChannelGraph, alive: np.ndarray) -> ConvReport:
    first, second = wide.layers[name], narrow.layers[name]
    if first.positions is None:
        raise UsageError(f"{name} has no fixed size: build the model with a fixed input size to count operations")
    nonzero = int(np.count_nonzero(to_numpy(second.layer.kernel)))
    weights_before, weights = first.kernel_weights(), second.kernel_weights(alive)
    return ConvReport(
        name=name,
        inputs_before=len(first.inputs),
        inputs=int(alive[second.inputs].sum()),
        outputs_before=len(first.outputs),
        outputs=int(alive[second.outputs].sum()),
        kernel_weights_before=weights_before,
        kernel_weights=weights,
        zeros=weights_before - nonzero,
        flops_before=2 * first.positions * weights_before,
        flops=2 * first.positions * weights,
        flops_nonzero=2 * first.positions * nonzero,
    )
