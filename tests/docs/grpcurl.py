"""A stand-in for grpcurl with the commands of the examples: ``list``, ``describe`` and calls, by reflection.

Each message of a response is one line.
"""

# ruff: noqa: T201

import json
import sys
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main(arguments: list[str]) -> None:
    """Run one command. A call prints each message of the response."""
    assert arguments.pop(0) == "-plaintext"
    data = ""
    if arguments[0] == "-d":
        _, data, *arguments = arguments
    host, command, *rest = arguments
    with grpc.insecure_channel(host) as channel:
        reflected = ProtoReflectionDescriptorDatabase(channel)
        if command == "list":
            print("\n".join(reflected.get_services()))
        elif command == "describe":
            service = DescriptorPool(reflected).FindServiceByName(rest[0])
            print("\n".join(method.full_name for method in service.methods))
        else:
            _call(channel, reflected, *command.split("/"), data=data)


def _call(channel: grpc.Channel, reflected: DescriptorDatabase, service: str, method: str, *, data: str) -> None:
    pool = DescriptorPool(reflected)
    found = pool.FindServiceByName(service).FindMethodByName(method)
    request, response = map(message_factory.GetMessageClass, (found.input_type, found.output_type))
    messages = [json_format.ParseDict(one, request(), descriptor_pool=pool) for one in _documents(data or "{}")]
    stub = channel.stream_stream(f"/{service}/{method}", request.SerializeToString, response.FromString)
    for answer in stub(iter(messages)):
        text = json_format.MessageToDict(answer, preserving_proto_field_name=True, descriptor_pool=pool)
        print(json.dumps(text), flush=True)


def _documents(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    rest = text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
