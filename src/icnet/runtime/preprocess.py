"""From a camera frame to the network's input: the one preprocessing of training checks, evaluation, export and runtime.

Only the size changes here; mean and deviation are part of the graph.
"""

import cv2
import numpy as np

from icnet.base.errors import InputError


def check_frame(frame_bgr: np.ndarray) -> None:
    """Refuse anything but a colour picture.

    Raises:
        InputError: `frame_bgr` is not (H, W, 3) uint8 with at least one pixel.
    """
    fits = isinstance(frame_bgr, np.ndarray) and frame_bgr.ndim == 3 and frame_bgr.shape[2] == 3 and frame_bgr.size > 0
    if fits and frame_bgr.dtype == np.uint8:
        return
    found = f"shape {frame_bgr.shape}, {frame_bgr.dtype}" if isinstance(frame_bgr, np.ndarray) else type(frame_bgr).__name__
    raise InputError(
        f"a frame must be a NumPy array (height, width, 3) of uint8 in BGR order, not {found}: read it with cv2.imread"
    )


def resize_frame(frame_bgr: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize a frame to the network's input size, bilinear with half-pixel centres.

    Args:
        frame_bgr: (h, w, 3) uint8 BGR, any size.
        size_hw: H and W of the network's input; the aspect ratio is not kept, as in the accuracy protocol.

    Returns:
        (1, H, W, 3) uint8 BGR; the frame's own memory if it has this size already.

    Raises:
        InputError: not a colour picture.
    """
    check_frame(frame_bgr)
    height, width = size_hw
    if frame_bgr.shape[:2] != (height, width):
        frame_bgr = cv2.resize(frame_bgr, (width, height), interpolation=cv2.INTER_LINEAR)
    return frame_bgr[np.newaxis]
