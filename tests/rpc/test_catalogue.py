"""The protos and the catalogue say the same."""

import re

import pytest
from google.api import annotations_pb2, http_pb2

from kafka_facade.core.catalogue import EXTENSIONS, OPERATIONS, Operation
from kafka_facade.rpc.dispatch import operation_of
from kafka_facade.rpc.methods import METHODS
from kafka_facade.rpc.services import SERVICES

METHODS_OF_PROTOS = {(service.name, method.name): method for service in SERVICES for method in service.methods}

# Fields have the names of v3, which the templates of v2 paths don't.
V3_NAMES = {"{topic}": "{topic_name}", "{partition}": "{partition_id}"}


def rows(service: str, method: str) -> list[Operation]:
    return [row for row in OPERATIONS if (row.grpc_service, row.grpc_method) == (service, method)]


def routes(rule: http_pb2.HttpRule) -> list[tuple[str, str]]:
    verb = rule.WhichOneof("pattern")
    return [(verb.upper(), getattr(rule, verb))] + [
        route for more in rule.additional_bindings for route in routes(more)
    ]


def test_every_operation_has_a_method_and_every_method_an_operation() -> None:
    wanted = {(row.grpc_service, row.grpc_method) for row in OPERATIONS + EXTENSIONS}
    assert set(METHODS_OF_PROTOS) == wanted


@pytest.mark.parametrize("key", METHODS_OF_PROTOS, ids="/".join)
def test_annotations_name_the_rest_routes(key: tuple[str, str]) -> None:
    rule = METHODS_OF_PROTOS[key].GetOptions().Extensions[annotations_pb2.http]
    expected = set()
    for row in rows(*key):
        expected.add((row.method, re.sub(r"{\w+}", lambda found: V3_NAMES.get(found[0], found[0]), row.path)))
    if not expected:
        assert not rule.WhichOneof("pattern")
        return
    found = routes(rule)
    assert len(found) == len(expected)
    assert set(found) == expected
    assert found[0][1].startswith("/v3/") or not any(path.startswith("/v3/") for _, path in expected)


@pytest.mark.parametrize("key", METHODS_OF_PROTOS, ids="/".join)
def test_path_variables_are_fields(key: tuple[str, str]) -> None:
    method = METHODS_OF_PROTOS[key]
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    if rule.WhichOneof("pattern"):
        for _, path in routes(rule):
            assert set(re.findall(r"{(\w+)}", path)) <= set(method.input_type.fields_by_name)


def test_the_v3_row_stands_for_a_method_that_several_rows_share() -> None:
    assert operation_of("TopicService", "ListTopics").identifier == "api.v3.topics.list"
    assert operation_of("RecordService", "ProduceRecords").identifier == "api.v3.produce.produce-to-topic"
    assert operation_of("ServerService", "GetServerInfo").identifier == "api.v2.root.get"
    with pytest.raises(LookupError):
        operation_of("TopicService", "NoSuchMethod")


def test_what_the_core_implements_is_served_and_nothing_else() -> None:
    streams = {"RecordService/Consume", "RecordService/ProduceStream"}
    implemented = {f"{row.grpc_service}/{row.grpc_method}" for row in OPERATIONS + EXTENSIONS if row.implemented}
    assert set(METHODS) | streams == implemented
