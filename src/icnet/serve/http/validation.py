"""What a client sent, checked by a Pydantic model."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from icnet.serve.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)

_SENTENCES = {"int_type": "must be an integer, and one of 64 bits"}
"""Instead of Pydantic's own; JSON gives a larger integer as a float."""

_LONGEST_NAME = 80


def validated(model: type[Model], document: Any) -> Model:
    """A document as a model.

    Raises:
        BadRequest: it does not fit.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:_LONGEST_NAME] or "the body"
        text = _SENTENCES.get(first["type"], f"{first['msg'][:1].lower()}{first['msg'][1:]}")
        raise BadRequest(f"{where}: {text}") from error
