"""Fast semantic segmentation of road scenes on ordinary machines.

`from icnet import Segmenter; segmenter = Segmenter(); result = segmenter(frame_bgr)`

Importing this package loads neither Keras nor OpenVINO nor NumPy; what a name needs is loaded when it is first used.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from icnet.base.errors import DataError, IcnetError, InputError, ModelError, OutputError, TrainingError, UsageError

if TYPE_CHECKING:
    from icnet.runtime.engine import EngineOptions
    from icnet.runtime.segmenter import Segmentation, Segmenter
    from icnet.runtime.smooth import Smoother
    from icnet.runtime.tiles import segment_tiled

# OpenVINO and NNCF, when they are imported, and ONNX Runtime report to analytics hosts, and write into the home for that. The
# former do without the package that does it, the latter asks a variable.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.5.0"
__all__ = [
    "DataError",
    "EngineOptions",
    "IcnetError",
    "InputError",
    "ModelError",
    "OutputError",
    "Segmentation",
    "Segmenter",
    "Smoother",
    "TrainingError",
    "UsageError",
    "__version__",
    "segment_tiled",
]

_MODULES = {
    "EngineOptions": "icnet.runtime.engine",
    "Segmentation": "icnet.runtime.segmenter",
    "Segmenter": "icnet.runtime.segmenter",
    "Smoother": "icnet.runtime.smooth",
    "segment_tiled": "icnet.runtime.tiles",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'icnet' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
