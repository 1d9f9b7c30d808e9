"""Which of several media types a client prefers, by its Accept header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence

_RANGE = re.compile(r"\s*(?:(\*)/(\*)|([\w!#$&^.+-]+)/(\*|[\w!#$&^.+-]+))\s*((?:;[^,]*)?)", re.ASCII)
_QUALITY = re.compile(r";\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.ASCII | re.IGNORECASE)


def preferred(accept: str | None, offers: Sequence[str]) -> str | None:
    """Choose a media type.

    Args:
        accept: the header; all are welcome without it. What is no media range in it counts for nothing.
        offers: media types, lower case, the server's favourite first.

    Returns:
        The one of highest quality; of equals the one that is named most exactly, then the first. None if all are refused.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = _ranges(accept)
    ranked = [(*_quality(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    quality, _, _, best = max(ranked)
    return best if quality > 0 else None


def _ranges(accept: str) -> list[tuple[str, str, float]]:
    """Type, subtype and quality of each range."""
    found = []
    for part in accept.split(","):
        match = _RANGE.fullmatch(part)
        if match:
            kind, subtype = match[1] or match[3].lower(), match[2] or match[4].lower()
            quality = _QUALITY.search(match[5])
            found.append((kind, subtype, float(quality[1]) if quality else 1.0))
    return found


def _quality(offer: str, ranges: list[tuple[str, str, float]]) -> tuple[float, int]:
    """What the most exact range that fits an offer gives it, and how exact that is: 0 to 2."""
    kind, subtype = offer.split("/")
    fitting = [
        ((range_kind == kind) + (range_subtype == subtype), quality)
        for range_kind, range_subtype, quality in ranges
        if range_kind in (kind, "*") and range_subtype in (subtype, "*")
    ]
    exactness, quality = max(fitting, default=(0, 0.0))
    return quality, exactness
