"""The JSON of the Open Inference Protocol: what is checked of a request, and how OpenAPI describes both sides."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from icnet.serve.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)

_Parameters = Annotated[dict[str, Any], Field(description="Those that are not known are ignored.")]

_SENTENCES = {"int_type": "must be an integer, and one of 64 bits"}
"""Instead of Pydantic's own; JSON gives a larger integer as a float."""

_SHAPE = {
    "type": "array",
    "prefixItems": [{"const": 1}, {"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 1}, {"const": 3}],
    "minItems": 4,
    "maxItems": 4,
}

_DATA = {
    "type": "array",
    "description": "Integers from 0 to 255, flat or nested as the shape says; left out if the values follow as binary data.",
}


def _nullable(described: dict[str, Any]) -> None:
    for name, part in described.get("properties", {}).items():
        if name not in described.get("required", ()):
            described["properties"][name] = {"anyOf": [part, {"type": "null"}]}


class _Strict(BaseModel):
    """Nothing is converted, what is not known is ignored, and null counts as not given: some clients write all members."""

    model_config = ConfigDict(strict=True, frozen=True, json_schema_extra=_nullable)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        return {name: value for name, value in document.items() if value is not None}


class RequestInput(_Strict):
    """The picture, (1, H, W, 3) BGR."""

    name: str = Field(json_schema_extra={"const": "data"})
    datatype: str = Field(json_schema_extra={"const": "UINT8"})
    shape: Annotated[list[int], WithJsonSchema(_SHAPE)]
    parameters: _Parameters = {}
    data: Annotated[Any, WithJsonSchema(_DATA)] = None


class RequestOutput(_Strict):
    """An output that is wanted."""

    name: str
    parameters: _Parameters = {}


class InferenceRequest(_Strict):
    """`data` of one picture, and which outputs are wanted; all if none is named."""

    id: Annotated[str | None, WithJsonSchema({"type": "string", "description": "Is sent back."})] = None
    parameters: _Parameters = {}
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = []


class LoadRequest(_Strict):
    """Nothing need be said."""

    parameters: Annotated[dict[str, Any], WithJsonSchema({"type": "object", "maxProperties": 0})] = {}


class UnloadRequest(_Strict):
    """Is refused."""

    parameters: _Parameters = {}


class IndexRequest(_Strict):
    """Nothing need be said."""

    ready: bool = Field(False, description="List only models that are ready, as all are.")


class Live(BaseModel):
    """The server answers."""

    live: bool


class Ready(BaseModel):
    """Whether new work is taken."""

    ready: bool


class ModelReady(Ready):
    """Whether a model takes new work."""

    name: str


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 in its shape is the picture's own height or width."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelState(BaseModel):
    """A model in the repository."""

    name: str
    version: str
    state: str
    reason: str


class BinarySize(BaseModel):
    """Where the values are."""

    binary_data_size: int = Field(description="Bytes of this tensor behind the JSON.")


class ResponseOutput(BaseModel):
    """An output; it has either `data` or a `binary_data_size`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["data"]}, {"required": ["parameters"]}]})

    name: str
    datatype: str
    shape: list[int]
    data: list[float] = []
    parameters: BinarySize = BinarySize(binary_data_size=0)


class InferenceResponse(BaseModel):
    """The outputs, in the order in which they were named."""

    model_name: str
    model_version: str
    id: str = Field("", description="That of the request, if it has one.")
    outputs: list[ResponseOutput]


def checked(model: type[Model], document: Any) -> Model:
    """A document as a model.

    Raises:
        BadRequest: it does not fit.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        text = _SENTENCES.get(first["type"], f"{first['msg'][:1].lower()}{first['msg'][1:]}")
        raise BadRequest(f"{where}: {text}") from error


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of a model with all parts in place, as OpenAPI takes it anywhere."""
    described = model.model_json_schema()
    parts = described.pop("$defs", {})

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inlined(parts[value["$ref"].rpartition("/")[2]])
            return {key: inlined(part) for key, part in value.items()}
        return [inlined(part) for part in value] if isinstance(value, list) else value

    return inlined(described)
