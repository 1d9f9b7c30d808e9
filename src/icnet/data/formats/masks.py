"""Masks as picture files: numbers, numbers behind a palette, or colours."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from icnet.base.classes import MOST
from icnet.data.formats.source import UNLABELLED, UNLABELLED_COLOURS, Labels, Table
from icnet.pictures.reading import Stored, read_stored

_LEAST_STEPS = 20
"""Fewer changes along the rows and columns of a mask tell nothing about how it was resized."""

_RAMP = 0.2
"""Share of the changes between distant numbers that lead over a number in between: in a mask that was resized with interpolation
half of them and more, in any other one few."""

_SHOWN = 5


def mask_reader(path: Path, table: Table | None) -> Callable[[tuple[int, int]], Labels]:
    """What reads a mask when it is wanted."""
    return lambda size_hw: read_mask(path, table)


def read_mask(path: Path, table: Table | None) -> Labels:
    """Read a mask, whatever kind it is of.

    Args:
        path: a picture.
        table: names, and the colours of masks that have them; None takes numbers as they are.

    Raises:
        InputError: it cannot be read.
    """
    stored = read_stored(path)
    faults = [] if stored.format != "JPEG" else [("jpeg-mask", "is a JPEG, which changes its pixels")]
    if stored.pixels.ndim == 3:
        labels = _of_colours(stored.pixels, table)
    elif table is not None and (positions := _behind_palette(stored, table)) is not None:
        labels = Labels(positions[stored.pixels])
    else:
        labels = _of_numbers(stored.pixels, table or Table(tuple(map(str, range(MOST)))))
    found = [] if faults else list(labels.faults)  # what else a JPEG does follows from that
    return Labels(labels.ids, tuple(faults + found), stored.orientation)


def _behind_palette(stored: Stored, table: Table) -> np.ndarray | None:
    """(256,) uint8 position of each number, if the colours behind the palette are those of the table; else the numbers tell."""
    used = [value for value in np.unique(stored.pixels).tolist() if value not in table.ignored]
    palette, known = stored.palette or (), _positions(table)
    if not used or used[-1] >= len(palette) or not all(_code(*palette[value]) in known for value in used):
        return None
    positions = np.full(256, UNLABELLED, np.uint8)
    positions[used] = [known[_code(*palette[value])] for value in used]
    return None if (positions[used] == UNLABELLED).all() else positions


def _of_numbers(pixels: np.ndarray, table: Table) -> Labels:
    count, ignored = len(table.names), sorted(table.ignored)
    pixel_counts = np.bincount(pixels.ravel())
    unknown = [value for value in np.flatnonzero(pixel_counts).tolist() if value >= count and value not in ignored]
    faults = []
    if _was_interpolated(pixels, ignored):
        faults.append(("interpolated", "has numbers along its borders that lie between those on either side"))
    if unknown:
        text = ", ".join(f"{value} ({pixel_counts[value]} pixels)" for value in unknown[:_SHOWN])
        faults.append(("unknown-ids", f"holds {text}{' and others' * (len(unknown) > _SHOWN)}; the table has {count} classes"))
    positions = np.full(max(256, len(pixel_counts)), UNLABELLED, np.uint8)
    positions[:count] = range(count)
    positions[ignored] = UNLABELLED
    return Labels(positions[pixels], tuple(faults))


def _was_interpolated(pixels: np.ndarray, ignored: list[int]) -> bool:
    """Whether steps between numbers that are not neighbours mostly lead over one in between."""
    ramps = steps = 0
    for axis in (0, 1):
        along = pixels if axis == 0 else pixels.T
        one, middle, other = along[:-2], along[1:-1], along[2:]
        between = (one < middle) & (middle < other) | (one > middle) & (middle > other)
        values = middle[between]
        far = np.maximum(along[1:], along[:-1]) - np.minimum(along[1:], along[:-1]) > 1
        ramps += int(np.count_nonzero(~np.isin(values, ignored)))
        steps += int(np.count_nonzero(far)) + int(np.count_nonzero(between & ~far[:-1]))
    return steps >= _LEAST_STEPS and ramps > _RAMP * steps


def _of_colours(bgr: np.ndarray, table: Table | None) -> Labels:
    """(H, W, 3) uint8 BGR by the colours of a table; others are no class."""
    positions = _positions(table)
    codes = bgr[..., 2].astype(np.uint32) << 16 | bgr[..., 1].astype(np.uint32) << 8 | bgr[..., 0]
    known = np.array(sorted(positions), np.uint32)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    is_known = known[at] == codes
    targets = np.array([positions[code] for code in known.tolist()], np.uint8)
    ids = np.where(is_known, targets[at], np.uint8(UNLABELLED))
    return Labels(ids, () if is_known.all() else (_strange_colours(bgr, codes, is_known),))


def _positions(table: Table | None) -> dict[int, int]:
    """Position of the class of each colour that means something; of classes of one colour that of the first."""
    positions: dict[int, int] = {}
    for at, colour in enumerate(() if table is None else table.colours):
        if colour is not None:
            positions.setdefault(_code(*colour), at)
    for colour in UNLABELLED_COLOURS:
        positions.setdefault(_code(*colour), UNLABELLED)
    return positions


def _strange_colours(bgr: np.ndarray, codes: np.ndarray, is_known: np.ndarray) -> tuple[str, str]:
    """What pixels of colours that the table lacks are: blends of their neighbours, or colours of their own."""
    strange = ~is_known
    blended = np.zeros_like(strange)
    for axis in (0, 1):
        size = bgr.shape[axis]
        if size < 3:
            continue
        one, middle, other = (np.take(bgr, range(start, size - 2 + start), axis) for start in range(3))
        between = (np.minimum(one, other) <= middle) & (middle <= np.maximum(one, other))
        inner = between.all(axis=2) & (one != other).any(axis=2)
        part = (slice(1, -1), slice(None)) if axis == 0 else (slice(None), slice(1, -1))
        blended[part] |= inner
    values, counts = np.unique(codes[strange], return_counts=True)
    share = float(np.mean(blended[strange]))
    if share > 0.5 and len(values) > 1:
        return "blended-colours", f"has {len(values)} colours along its borders that are blends of those on either side"
    most = np.argsort(-counts, kind="stable")[:_SHOWN]
    text = ", ".join(f"#{values[each]:06x} ({counts[each]} pixels)" for each in most.tolist())
    return "unknown-colours", f"holds {text}{' and others' * (len(values) > _SHOWN)}, which the table lacks"


def _code(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue
