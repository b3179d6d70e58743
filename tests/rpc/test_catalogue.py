"""The protos match the catalogue."""

import re
from pathlib import Path

import pytest
from google.api import annotations_pb2

from kafka_facade.core.catalogue import EXTENSIONS, OPERATIONS, Operation
from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rpc.methods import METHODS
from kafka_facade.rpc.services import SERVICES
from operations import operation_of

METHODS_OF_PROTOS = {(service.name, method.name): method for service in SERVICES for method in service.methods}

PROTO = Path(__file__).resolve().parent.parent.parent / "proto"
COMMENTS = {
    (service, method): comment
    for path in sorted((PROTO / "kafka_facade").rglob("*.proto"))
    for service, body in re.findall(r"^service (\w+) \{\n(.*?)^\}", path.read_text(), re.MULTILINE | re.DOTALL)
    for comment, method in re.findall(r"((?:  //.*\n)+)  rpc (\w+)\(", body)
}


def rows(service: str, method: str) -> list[Operation]:
    return [row for row in OPERATIONS if (row.grpc_service, row.grpc_method) == (service, method)]


def test_every_operation_has_a_method_and_every_method_an_operation() -> None:
    wanted = {(row.grpc_service, row.grpc_method) for row in OPERATIONS + EXTENSIONS}
    assert set(METHODS_OF_PROTOS) == wanted


@pytest.mark.parametrize("key", METHODS_OF_PROTOS, ids="/".join)
def test_comments_name_the_rest_routes(key: tuple[str, str]) -> None:
    found = re.findall(r"// REST: (\w+) (\S+)\n", COMMENTS[key])
    expected = {(row.method, row.path) for row in rows(*key)}
    assert len(found) == len(expected)
    assert set(found) == expected
    assert not found or found[0][1].startswith("/v3/") or not any(path.startswith("/v3/") for _, path in expected)


@pytest.mark.parametrize("key", METHODS_OF_PROTOS, ids="/".join)
def test_comments_say_what_is_not_implemented(key: tuple[str, str]) -> None:
    assert ("returns UNIMPLEMENTED" in COMMENTS[key]) is (operation_of(*key).identifier not in IMPLEMENTED)


@pytest.mark.parametrize("key", METHODS_OF_PROTOS, ids="/".join)
def test_methods_have_no_http_annotations(key: tuple[str, str]) -> None:
    # REST has kind, metadata and links, snake_case, numbers that are not texts, and 204 where there is nothing to say.
    assert not METHODS_OF_PROTOS[key].GetOptions().HasExtension(annotations_pb2.http)


def test_methods_with_several_operations_use_the_v3_operation() -> None:
    assert operation_of("TopicService", "ListTopics").identifier == "api.v3.topics.list"
    assert operation_of("RecordService", "ProduceRecords").identifier == "api.v3.produce.produce-to-topic"
    assert operation_of("ServerService", "GetServerInfo").identifier == "api.v2.root.get"
    with pytest.raises(LookupError):
        operation_of("TopicService", "NoSuchMethod")


def test_methods_with_conversions_of_their_own_are_those_of_the_protos() -> None:
    assert set(METHODS) <= {f"{service}/{method}" for service, method in METHODS_OF_PROTOS}
