"""The protos compile without changes and follow the conventions that the documentation states."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc_tools  # type: ignore[import-untyped]
import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rpc.services import SERVICES
from operations import operation_of

PROTO = Path(__file__).resolve().parent.parent.parent / "proto"
FILES = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "kafka_facade").rglob("*.proto"))
# What has another name elsewhere.
OTHER_NAMES = {"topic", "topics", "partition", "partitions", "group", "group_id", "instance", "consumer_instance"}
UNARY = [
    method
    for service in SERVICES
    for method in service.methods
    if operation_of(service.name, method.name).identifier in IMPLEMENTED and not method.client_streaming
]


def test_they_compile_with_protoc_and_buf_without_other_files(tmp_path: Path) -> None:
    # protoc brings google/protobuf along.
    own = Path(grpc_tools.__path__[0]) / "_proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{own}"]
    subprocess.run([*command, f"--descriptor_set_out={tmp_path / 'all'}", "--include_imports", *FILES], check=True)
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    environment = {"HOME": str(tmp_path), "PATH": ""}
    subprocess.run([str(buf), "build", str(PROTO), "-o", str(tmp_path / "image.binpb")], check=True, env=environment)


def test_they_name_packages_for_go_and_java() -> None:
    for service in SERVICES:
        options = service.file.GetOptions()
        assert "/" in options.go_package
        assert options.java_package
        assert options.java_multiple_files


def test_fields_have_consistent_names() -> None:
    for file in {service.file.name: service.file for service in SERVICES}.values():
        for message in file.message_types_by_name.values():
            for field in message.fields:
                # Lists of messages are called after those.
                if field.message_type is None:
                    assert field.name not in OTHER_NAMES, field.full_name


def is_required(field: Any) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def test_the_cluster_is_never_required() -> None:
    for service in SERVICES:
        for method in service.methods:
            field = method.input_type.fields_by_name.get("cluster_id")
            assert field is None or not is_required(field), method.full_name


def fill(message: Any) -> Any:
    """The message with something in each field that is required, and one entry in each list that has such fields."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.is_repeated and not field.message_type.GetOptions().map_entry:
            if is_required(field) or any(map(is_required, field.message_type.fields)):
                fill(getattr(message, field.name).add())
        elif is_required(field):
            if field.message_type is not None:
                getattr(message, field.name).SetInParent()
            elif field.is_repeated:
                getattr(message, field.name).append("x" if field.type == field.TYPE_STRING else 1)
            elif field.enum_type is not None:
                # The first values are those that only filters take.
                setattr(message, field.name, field.enum_type.values[-1].number)
            else:
                setattr(message, field.name, "x" if field.type == field.TYPE_STRING else 1)
    return message


def required_paths(message: Any, prefix: str = "") -> Iterator[tuple[str, Callable[[Any], None]]]:
    """The paths of required fields in a message that is filled, and how to empty each."""
    for field in message.DESCRIPTOR.fields:
        if is_required(field):
            yield f"{prefix}{field.name}", lambda found, name=field.name: found.ClearField(name)  # type: ignore[misc]
        if field.message_type is not None and field.is_repeated and len(getattr(message, field.name)):
            inner = getattr(message, field.name)
            if field.message_type.GetOptions().map_entry:
                continue
            for path, empty in required_paths(inner[0], f"{prefix}{field.name}[0]."):
                yield path, lambda found, name=field.name, empty=empty: empty(getattr(found, name)[0])  # type: ignore[misc]


@pytest.mark.parametrize("method", UNARY, ids=lambda method: f"{method.containing_service.name}/{method.name}")
async def test_empty_required_fields_are_rejected(channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    name = f"/{method.containing_service.full_name}/{method.name}"
    call: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    for path, empty in required_paths(fill(request())):
        message = fill(request())
        empty(message)
        answer = call(name, request.SerializeToString, response.FromString)(message, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (answer.read() if method.server_streaming else answer)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, path
        assert violations(caught.value) == [path]


def violations(error: grpc.aio.AioRpcError) -> list[str]:
    """The fields that a failed call blames."""
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    blamed = BadRequest()
    for detail in Status.FromString(details).details:
        detail.Unpack(blamed)
    return [violation.field for violation in blamed.field_violations]
