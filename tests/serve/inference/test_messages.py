import subprocess
import sys
from importlib.resources import files

import pytest
from google.protobuf import descriptor_pb2
from protocol import infer_request, picture

from icnet.serve.errors import BadRequest
from icnet.serve.inference import wire
from icnet.serve.inference.messages import DESCRIPTOR, message_class

METHODS = [
    "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex",
    "RepositoryModelLoad", "RepositoryModelUnload", "ModelConfig", "ModelStatistics",
]  # fmt: skip
OURS = [f"{method}{side}" for method in METHODS for side in ("Request", "Response")] + [
    "InferTensorContents", "ModelStatistics", "InferStatistics", "InferBatchStatistics", "StatisticDuration",
]  # fmt: skip
CONFIGURED = ["ModelConfig", "ModelInput", "ModelOutput"]


def described(message) -> descriptor_pb2.DescriptorProto:
    proto = descriptor_pb2.DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)
    return proto


def facts(proto: descriptor_pb2.DescriptorProto, prefix: str = "") -> dict[str, tuple]:
    """Of each field what is on the wire, those of inner messages too."""
    path = f"{prefix}{proto.name}"
    found = {f"{path}.{field.name}": (field.number, field.label, field.type, field.type_name) for field in proto.field}
    for inner in proto.nested_type:
        found |= facts(inner, f"{path}.")
        found[f"{path}.{inner.name}"] = (inner.options.map_entry,)
    return found


def test_descriptor_is_that_of_the_proto(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    folder, made = files("icnet.serve.inference"), tmp_path / DESCRIPTOR
    assert protoc.main(["protoc", f"--proto_path={folder}", f"--descriptor_set_out={made}", "messages.proto"]) == 0
    assert made.read_bytes() == (folder / DESCRIPTOR).read_bytes(), "messages.proto was changed: run `poe protos`"


@pytest.mark.parametrize("name", OURS + CONFIGURED)
def test_fields_are_those_of_the_protocol(name):
    from tritonclient.grpc import model_config_pb2, service_pb2

    defined = getattr(model_config_pb2 if name in CONFIGURED else service_pb2, name)
    ours, theirs = facts(described(message_class(name))), facts(described(defined))
    assert ours.items() <= theirs.items()
    for field in message_class(name).DESCRIPTOR.fields:
        if field.enum_type is not None:
            numbers = defined.DESCRIPTOR.fields_by_name[field.name].enum_type.values_by_name
            assert all(numbers[value.name].number == value.number for value in field.enum_type.values)


def test_another_programs_messages_are_understood():
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"abc"])
    theirs.inputs.add(name="data", datatype="UINT8", shape=[1, 2, 3]).contents.fp64_contents.append(1.5)
    theirs.parameters["priority"].uint64_param = 3
    ours = message_class("ModelInferRequest").FromString(theirs.SerializeToString())
    assert (ours.model_name, ours.id, list(ours.raw_input_contents), list(ours.parameters)) == ("m", "7", [b"abc"], ["priority"])
    assert list(ours.inputs[0].shape) == [1, 2, 3]
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs


@pytest.mark.parametrize(
    "order", [("icnet.serve.inference.messages", "tritonclient.grpc"), ("tritonclient.grpc", "icnet.serve.inference.messages")]
)
def test_both_definitions_live_in_one_process(order):
    code = "".join(f"import {module}\n" for module in order)
    code += "from icnet.serve.inference.messages import message_class\nfrom tritonclient.grpc import service_pb2\n"
    code += "assert message_class('ModelInferRequest') is not service_pb2.ModelInferRequest"
    subprocess.run([sys.executable, "-c", code], check=True)


CUT = {5: {5: {2: None, 4: None}}, 7: None}


def test_large_parts_are_cut_out():
    request = infer_request("m", picture((40, 50)), "classes")
    request.raw_input_contents.append(b"more")
    request.inputs[0].contents.uint_contents.extend(range(300))
    request.inputs[0].contents.int_contents.extend(range(200))
    message = request.SerializeToString()
    rest, parts = wire.without(message, CUT)
    assert [path for path, _ in parts] == [(5, 5, 2), (5, 5, 4), (7,), (7,)]
    assert [bytes(part) for path, part in parts if path == (7,)] == list(request.raw_input_contents)
    del request.raw_input_contents[:], request.inputs[0].contents.int_contents[:], request.inputs[0].contents.uint_contents[:]
    assert message_class("ModelInferRequest").FromString(rest) == request
    assert wire.without(message, {})[0] == message


def test_parts_are_put_in():
    response = message_class("ModelInferResponse")(model_name="m", id="7")
    parts = [b"", b"x" * 127, b"y" * 128, b"z" * 70_000]
    encoded = wire.with_parts(response.SerializeToString(), 6, [memoryview(part) for part in parts])
    response.raw_output_contents.extend(parts)
    assert message_class("ModelInferResponse").FromString(encoded) == response


@pytest.mark.parametrize(
    "message",
    [
        b"\x2a\x00" * (4 << 20), b"\x3a\x00" * 65, b"\xf8\x07\x01" * 100_000, b"\x22\x80\x80\x40" + bytes(1 << 20),
        b"\x2a\x80\x80\x40" + b"\x22\x00" * (1 << 19), b"\x3a\x00" * 100_000,
    ],
    ids=["inputs", "raw parts", "unknown", "large parameters", "many parameters", "many raw parts"],
)  # fmt: skip
def test_a_message_of_many_or_large_other_parts_is_refused(message):
    with pytest.raises(BadRequest, match="more than 256 KiB beside the values of tensors, or these in more than 64 parts"):
        wire.without(message, CUT)


@pytest.mark.parametrize(
    "message",
    [
        b"\x3a", b"\x3a\x05abc", b"\x80", b"\x80" * 12, b"\x00\x00", b"\x08", b"\x09abc", b"\x0d\0", b"\x0b\x0c", b"\x0e",
        b"\x3a" + b"\xff" * 9 + b"\1", b"\x2a\x02\x2a\x05",
    ],
)  # fmt: skip
def test_a_damaged_message(message):
    with pytest.raises(BadRequest, match="damaged"):
        wire.without(message, CUT)
