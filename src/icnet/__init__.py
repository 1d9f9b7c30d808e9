"""Fast semantic segmentation of road scenes on ordinary machines.

`from icnet import Segmenter; segmenter = Segmenter(); result = segmenter(frame_bgr)`

Importing this package loads neither Keras nor OpenVINO; `Segmenter` loads OpenVINO when it is first used.
"""

from typing import Any

__version__ = "0.5.0"
__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Segmenter":
        from icnet.runtime.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module 'icnet' has no attribute {name!r}")
