"""The messages of the Open Inference Protocol over gRPC, as `messages.proto` describes them.

What protoc makes of that file is a descriptor, not a Python module: such a module registers the names of its messages for the
whole process, where another definition of the same protocol, such as that of `tritonclient`, may have taken them, and it runs
with no protobuf that is older than its protoc. The descriptor goes into a pool of our own and is the same for every version.
"""

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

SERVICE = "inference.GRPCInferenceService"

DESCRIPTOR = "messages.binpb"
"""`poe protos` writes it."""

_CLASSES: dict[str, Any] = message_factory.GetMessages(
    descriptor_pb2.FileDescriptorSet.FromString((files(__package__) / DESCRIPTOR).read_bytes()).file
)


def message_class(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`; those within it are its attributes."""
    return _CLASSES[f"inference.{name}"]
