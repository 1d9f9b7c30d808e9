"""On which terms weights can be passed on."""

import re
from collections.abc import Iterator
from typing import Any

from icnet.base.errors import UsageError
from icnet.network.registry import SHA256
from icnet.network.weights import Weights

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
    if bundled or NON_COMMERCIAL in stated or any("CamVid" in str(run.get("data", "")) for run in runs):
        return NON_COMMERCIAL
    return stated[0] if stated else None


def caution(weights: Weights) -> str | None:
    """A line for whoever begins a run from weights, or learns from them, that are not for every use; None if they are."""
    if inherited(weights.about) != NON_COMMERCIAL:
        return None
    return (
        f"{weights.spec.name} learnt from CamVid, so what begins from it is not for commercial use (CC BY-NC 4.0); for a lite "
        "network --initial imagenet is free of that"
    )


def terms(about: dict[str, Any]) -> str:
    """What a model card of a run says about the terms: those that the weights inherit, as far as is known."""
    known = inherited(about)
    if known == NON_COMMERCIAL:
        name, address = LICENCES[known]
        return (
            f"{name.split(',')[0]} ({address}), **not for commercial use**: these weights, or some that they began from, learnt "
            "from CamVid, which has these terms. The terms of your own pictures come on top."
        )
    inherit = f"What they began from has the licence {known}. " if known else "Nothing is known to bind what they began from. "
    return inherit + "The terms of the pictures that they learnt from hold besides; if those are CamVid's, CC BY-NC 4.0."


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
