"""`icnet demo`: a synthetic street drive, segmented."""

from __future__ import annotations

import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icnet.cli.terminal import finite, given, show
from icnet.network.spec import DEFAULT_MODEL

if TYPE_CHECKING:
    from icnet.base.sample import Dataset
    from icnet.media.stats import Tally
    from icnet.runtime.segmenter import Segmenter

VIDEO, STILL, FRAME = "demo.mp4", "demo.png", "street.png"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the video and the still.")] = Path(
        "icnet-demo"
    ),
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A published model, a .safetensors or .xml file, or hf://USER/NAME.")
    ] = DEFAULT_MODEL,
    seconds: Annotated[float | None, typer.Option(min=0.1, callback=finite, help="Length of the drive; 8 if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another number gives another street.")] = None,
) -> None:
    """Segment a drive through a synthetic street: no camera, no data and no network needed.

    Writes demo.mp4, the street beside its segmentation; demo.png, a frame with overlay and legend; and street.png, that frame
    as it was.
    """
    from icnet.runtime.segmenter import Segmenter
    from icnet.street.drive import StreetDrive, StreetOptions

    options = StreetOptions(**given(seconds=seconds, seed=seed))
    segmenter = Segmenter(model)
    start = time.perf_counter()
    tally = film(segmenter, StreetDrive(options), Fraction(options.fps), output)
    elapsed = time.perf_counter() - start

    show(f"{tally.frames} frames of a synthetic street, segmented with {segmenter.engine.name}")
    show("")
    for name, share in sorted(tally.shares.items(), key=lambda item: -item[1]):
        show(f"  {name:<12}{share:7.1%}")
    show("")
    show(f"speed  {tally.frames_per_second:.1f} frames per second in the segmenter ({tally.frame_ms:.0f} ms each), while")
    show(f"       the street was rendered beside it; {elapsed:.1f} s in all, rendering and encoding included")
    for kind, name in (("video", VIDEO), ("still", STILL), ("frame", FRAME)):
        show(f"{kind}  {output / name}")


def film(segmenter: Segmenter, drive: Dataset, rate: Fraction, output: Path) -> Tally:
    """Segment a drive while it is rendered; write the video, at `rate` frames a second, and stills of its middle into `output`.

    Raises:
        OutputError: a file cannot be written.
    """
    import numpy as np

    from icnet.cli.terminal import progress
    from icnet.media.ahead import ahead
    from icnet.media.sinks import video_sink
    from icnet.media.stats import Tally
    from icnet.results.png import write_png

    tally, length = Tally(), len(drive)
    samples = ahead(drive[index] for index in range(length))
    with video_sink(output / VIDEO, rate=rate) as video, closing(samples), progress() as bars:
        task = bars.add_task("demo", total=length)
        for index, sample in enumerate(samples):
            start = time.perf_counter()
            segmentation = segmenter(sample.image)
            tally.add(segmentation, time.perf_counter() - start)
            overlay = segmentation.overlay()
            video.write(np.hstack([sample.image, overlay]), float(index / rate))
            if index == length // 2:
                write_png(output / STILL, overlay)
                write_png(output / FRAME, sample.image)
            bars.advance(task)
    return tally
