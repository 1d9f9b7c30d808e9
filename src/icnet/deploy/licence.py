"""On which terms weights can be passed on."""

import re
from collections.abc import Iterator
from typing import Any

from icnet.base.errors import UsageError
from icnet.network.registry import SHA256

NON_COMMERCIAL = "cc-by-nc-4.0"
"""Of CamVid, and so of all bundled weights."""

LICENCES = {
    NON_COMMERCIAL: ("CC BY-NC 4.0, research use, as CamVid", "https://creativecommons.org/licenses/by-nc/4.0/"),
}
"""Identifier to what a weight file tells: licence and address."""


def origins(about: dict[str, Any]) -> list[str]:
    """What weights began from or learnt from, the first run first: names, files and addresses, as far as they tell."""

    def told() -> Iterator[Any]:
        for run in (*about.get("history", []), about):
            recipe = run.get("recipe") or {}
            yield run.get("origin")
            yield recipe.get("initial")
            yield (recipe.get("distillation") or {}).get("teacher")

    return list(dict.fromkeys(one for one in told() if isinstance(one, str) and one))


def inherited(about: dict[str, Any]) -> str | None:
    """The licence that weights have by their own word, or by what they began from; None if nothing is known.

    Args:
        about: what the weight file tells about itself.
    """
    runs = [about, *reversed(about.get("history", []))]
    stated = [_identifier(run["licence"]) for run in runs if isinstance(run.get("licence"), str)]
    bundled = any(one.removesuffix(".safetensors") in SHA256 for one in origins(about))
    if bundled or "CamVid" in str(about.get("data", "")) or NON_COMMERCIAL in stated:
        return NON_COMMERCIAL
    return stated[0] if stated else None


def decide(about: dict[str, Any], given: str | None) -> str:
    """The identifier of the licence to pass weights on with.

    Args:
        about: what the weight file tells about itself.
        given: what the user says, an identifier such as `apache-2.0`.

    Raises:
        UsageError: nothing is known and nothing given, or what is given contradicts what the weights began from.
    """
    known = inherited(about)
    if given is None:
        if known is None:
            raise UsageError(
                "the weights do not say on which terms they may be passed on: give --licence, such as apache-2.0 or cc-by-4.0, "
                "that the training pictures and the weights it began from allow"
            )
        return known
    identifier = _identifier(given)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{1,60}", identifier):
        raise UsageError(f"{given!r} is no identifier of a licence: give one such as apache-2.0, mit or cc-by-nc-4.0")
    if known == NON_COMMERCIAL and not identifier.startswith("cc-by-nc"):
        raise UsageError(
            "the weights were trained on CamVid, or began from weights that were, and so are not for commercial use: leave "
            f"--licence out, or give {NON_COMMERCIAL}"
        )
    return identifier


def _identifier(text: str) -> str:
    """`cc-by-nc-4.0` of `CC BY-NC 4.0, research use, as CamVid`."""
    return "-".join(text.split(",")[0].lower().split())
