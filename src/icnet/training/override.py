"""Changing single fields of a recipe by text, as `--set augmentation.scale=0.5,2.0` does."""

import dataclasses
import math
import re
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from icnet.base.errors import UsageError
from icnet.training.recipe import Recipe

_BOOL = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def override(recipe: Recipe, assignments: list[str]) -> Recipe:
    """Apply `name=value` texts in order.

    A dot leads into a part of the recipe (`final.share=0.1`); a part that the recipe lacks is added with its defaults,
    and `none` takes it away. Several numbers are separated by commas, or by an x as in `crop_hw=352x480`.

    Raises:
        UsageError: a name is unknown, or a value is not of the field's type or out of range.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"recipe field {assignment!r} has no value: write name=value, such as jaccard=0.5")
        recipe = _with(recipe, name.strip().split("."), text.strip(), assignment)
    return recipe


def _with(part: Any, path: list[str], text: str, assignment: str) -> Any:
    """`part`, a dataclass instance, with the field at `path` changed."""
    kinds = get_type_hints(type(part))
    name, *rest = path
    if name not in kinds:
        raise UsageError(f"recipe field {assignment!r}: no {name!r} there; choose one of {', '.join(kinds)}")
    kind, optional = kinds[name], False
    if isinstance(kind, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
        optional = True
    if rest:
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise UsageError(f"recipe field {assignment!r}: {name} has no parts; write {name}=value")
        inner = getattr(part, name)
        value = _with(kind() if inner is None else inner, rest, text, assignment)
    elif optional and text.lower() == "none":
        value = None
    else:
        value = _parse(kind, text, assignment)
    return dataclasses.replace(part, **{name: value})


def _parse(kind: Any, text: str, assignment: str) -> Any:
    """`text` as a value of type `kind`."""
    if dataclasses.is_dataclass(kind):
        names = ", ".join(field.name for field in dataclasses.fields(kind))
        raise UsageError(f"recipe field {assignment!r}: this has parts; set one of {names}, after a dot")
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UsageError(f"recipe field {assignment!r}: expected one of {', '.join(get_args(kind))}")
        return text
    if get_origin(kind) is tuple:
        kinds, texts = get_args(kind), re.split("[,x]", text)
        if kinds[-1] is not Ellipsis and len(kinds) != len(texts):
            raise UsageError(f"recipe field {assignment!r}: expected {len(kinds)} numbers with commas between")
        return tuple(_parse(kinds[0], one.strip(), assignment) for one in texts)
    if kind is str:
        return text
    try:
        value = _BOOL[text.lower()] if kind is bool else kind(text)
        finite = math.isfinite(value)
    except (ValueError, KeyError, OverflowError):
        finite = False
    if not finite:
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise UsageError(f"recipe field {assignment!r}: expected {expected}")
    return value
