"""Pruning for Keras 3: single weights or whole channels of any functional model with Conv2D layers.

It needs Keras and NumPy and runs on the TensorFlow, JAX and PyTorch backends::

    model = maskable(model)
    pruner = WeightPruner(model)            # or ChannelPruner(model)
    pruner.prune(0.6)                       # or gradually, while training:
    model.fit(..., callbacks=[PruningCallback(pruner, PruningSchedule(0.6, begin_step=0, end_step=1000))])
    print(report(model, model))
    strip(model).save("sparse.keras")       # plain layers with zeros
    narrow, kept = compact(model)           # after ChannelPruner: plain layers with fewer channels
"""

from icnet.pruning.channel_pruner import ChannelPruner
from icnet.pruning.channels import analyse
from icnet.pruning.layers import MaskedBatchNormalization, MaskedConv2D
from icnet.pruning.masks import maskable, strip
from icnet.pruning.narrow import compact, expand
from icnet.pruning.report import PruningReport, report
from icnet.pruning.schedule import PruningCallback, PruningSchedule
from icnet.pruning.weights import WeightPruner

__all__ = [
    "ChannelPruner",
    "MaskedBatchNormalization",
    "MaskedConv2D",
    "PruningCallback",
    "PruningReport",
    "PruningSchedule",
    "WeightPruner",
    "analyse",
    "compact",
    "expand",
    "maskable",
    "report",
    "strip",
]
