"""The JSON of the Open Inference Protocol as far as it is checked; `openapi.json` describes it to clients."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    """Nothing is converted, what is not known is ignored, and null counts as not given: some clients write all members."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        return {name: value for name, value in document.items() if value is not None}


class RequestInput(_Strict):
    """The pictures, (N, H, W, 3) BGR."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: Any = None


class RequestOutput(_Strict):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(_Strict):
    """`data` of the pictures, and which outputs are wanted; all if none is named."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = []


class RepositoryRequest(_Strict):
    """To load or unload a model."""

    parameters: dict[str, Any] = {}


class IndexRequest(_Strict):
    """To list the models."""

    ready: bool = False
