"""Decoded frames as pictures of eight bits, those of high dynamic range (HDR) tone-mapped."""

import av
import numpy as np
from av.filter import Graph

_PQ, _HLG = 16, 18
"""ITU-T H.273 codes of the transfer characteristics of HDR video (ITU-R BT.2100)."""

_UNTOLD, _BT2020 = 2, 9
"""Codes of primaries and matrix: not given, and those of HDR video."""

_SDR = "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:out_range=pc:intent=perceptual:flags=bilinear"


class EightBits:
    """Makes pictures of the frames of one video or camera.

    Attributes:
        unmapped: there were HDR frames that this FFmpeg cannot tone-map; their colours are flat.
    """

    def __init__(self) -> None:
        self.unmapped = False
        self._graph: Graph | None = None
        self._made_for: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 BGR of a frame."""
        if frame.color_trc in (_PQ, _HLG) and not self.unmapped:
            try:
                frame = self._mapped(frame)
            except (av.error.FFmpegError, ValueError):  # no such option, before FFmpeg 8
                self.unmapped = True
        return frame.to_ndarray(format="bgr24")

    def _mapped(self, frame: av.VideoFrame) -> av.VideoFrame:
        frame.color_primaries = _BT2020 if frame.color_primaries == _UNTOLD else frame.color_primaries
        frame.colorspace = _BT2020 if frame.colorspace == _UNTOLD else frame.colorspace
        shape = frame.width, frame.height, frame.format.name
        if self._graph is None or self._made_for != shape:
            self._graph, self._made_for = Graph(), shape
            graph, base = self._graph, frame.time_base
            source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
            graph.link_nodes(source, graph.add("scale", _SDR), graph.add("format", "bgr24"), graph.add("buffersink"))
            self._graph.configure()
        self._graph.push(frame)
        mapped = self._graph.pull()
        assert isinstance(mapped, av.VideoFrame), "of video comes video"
        return mapped
