"""The messages of the Open Inference Protocol over gRPC, and of Triton's repository extension, as far as they are used.

Names, numbers and types of the fields are those of https://github.com/kserve/open-inference-protocol and of
https://github.com/triton-inference-server/server; fields that are not listed are ignored when they arrive. The classes live in
a pool of their own, so that a process may load another definition of the same messages, such as that of `tritonclient`.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_PACKAGE = "inference"

_TENSOR = "name:string=1 datatype:string=2 shape:int64*=3"

_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ModelReadyRequest": "name:string=1 version:string=2",
    "ModelReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string=1 version:string=2 extensions:string*=3",
    "ModelMetadataRequest": "name:string=1 version:string=2",
    "ModelMetadataResponse": (
        "name:string=1 versions:string*=2 platform:string=3"
        " inputs:ModelMetadataResponse.TensorMetadata*=4 outputs:ModelMetadataResponse.TensorMetadata*=5"
    ),
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "InferParameter": "",
    "InferTensorContents": "int_contents:int32*=2 uint_contents:uint32*=4",
    "ModelInferRequest": (
        "model_name:string=1 model_version:string=2 id:string=3 parameters:map<InferParameter>=4"
        " inputs:ModelInferRequest.InferInputTensor*=5 outputs:ModelInferRequest.InferRequestedOutputTensor*=6"
        " raw_input_contents:bytes*=7"
    ),
    "ModelInferRequest.InferInputTensor": f"{_TENSOR} parameters:map<InferParameter>=4 contents:InferTensorContents=5",
    "ModelInferRequest.InferRequestedOutputTensor": "name:string=1 parameters:map<InferParameter>=2",
    "ModelInferResponse": (
        "model_name:string=1 model_version:string=2 id:string=3"
        " outputs:ModelInferResponse.InferOutputTensor*=5 raw_output_contents:bytes*=6"
    ),
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "RepositoryIndexRequest": "repository_name:string=1 ready:bool=2",
    "RepositoryIndexResponse": "models:RepositoryIndexResponse.ModelIndex*=1",
    "RepositoryIndexResponse.ModelIndex": "name:string=1 version:string=2 state:string=3 reason:string=4",
    "ModelRepositoryParameter": "",
    "RepositoryModelLoadRequest": "repository_name:string=1 model_name:string=2 parameters:map<ModelRepositoryParameter>=3",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "repository_name:string=1 model_name:string=2 parameters:map<ModelRepositoryParameter>=3",
    "RepositoryModelUnloadResponse": "",
}
"""Message, with a dot before one that lies in another, to its fields `name:type=number`; `*` is repeated, `map<T>` has strings
as keys. A message without fields here may have some that nobody looks at."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="icnet/serve/messages", package=_PACKAGE, syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for path, fields in _MESSAGES.items():
        outer, _, name = path.rpartition(".")
        made[path] = message = made[outer].nested_type.add() if outer else file.message_type.add()
        message.name = name
        for field in fields.split():
            described, _, number = field.partition("=")
            field_name, _, kind = described.partition(":")
            if kind.startswith("map<"):
                kind = _add_entry(message, path, field_name, kind[4:-1])
            _add_field(message, field_name, kind, int(number))
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, kind: str, number: int) -> None:
    label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    kind = kind.removesuffix("*")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _add_entry(message: descriptor_pb2.DescriptorProto, path: str, field_name: str, value: str) -> str:
    """The message that stands for an entry of a map; the field is a repeated one of it."""
    name = f"{field_name.capitalize()}Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _add_field(entry, "key", "string", 1)
    _add_field(entry, "value", value, 2)
    return f"{path}.{name}*"


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())

_CLASSES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
    for name in _MESSAGES
    if "." not in name
}


def message_class(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`; those within it are its attributes."""
    return _CLASSES[name]
