"""Errors about body types name neither Python types nor types of this project."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.configs.model import ConfigAlteration
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.topics.model import CreateTopic
from kafka_facade.rest.bodies import BodyDecoder
from kafka_facade.rest.record_decoding import V3Record
from kafka_facade.rest.request_bodies import body_type
from kafka_facade.rest.v2_consumer_bodies import V2Offset, V2Positions
from kafka_facade.rest.v2_produce import V2Produce
from kafka_facade.rest.v3_produce_batch import V3Batch

V3CreateTopic = body_type(CreateTopic, ("cluster_id",))
V3Alteration = body_type(ConfigAlteration)


def error_of(type_: type[Any], body: str) -> FacadeError:
    with pytest.raises(FacadeError) as failure:
        BodyDecoder(type_).decode(body.encode())
    return failure.value


def cannot(expected: str, found: str, reason: str | None = None) -> str:
    return f"Cannot deserialize value of type `{expected}` from {found}: {reason or f'not a valid `{expected}` value'}"


@pytest.mark.parametrize(
    ("type_", "body", "said", "field"),
    [
        (V2Produce, '{"records":[{"partition":"A"}]}', cannot("Integer", 'String "A"'), "records[0].partition"),
        (
            V2Produce,
            '{"records":[{},{"partition":1.5}]}',
            cannot("Integer", "Number 1.5"),
            "records[1].partition",
        ),
        (
            V2Produce,
            '{"records":[{"partition":1e999}]}',
            cannot("Integer", "Number 1e999"),
            "records[0].partition",
        ),
        (V2Produce, '{"records":{}}', cannot("Array", "Object value"), "records"),
        (V2Produce, "[]", cannot("Object", "Array value"), None),
        (V2Produce, '{"records":[1]}', cannot("Object", "Number 1"), "records[0]"),
        (V2Produce, '{"key_schema":true}', cannot("String", "Boolean value true"), "key_schema"),
        (V2Offset, '{"topic":"a","partition":0,"offset":[]}', cannot("Long", "Array value"), "offset"),
        (V3Record, '{"partition_id":99999999999}', cannot("Integer", "Number 99999999999"), "partition_id"),
        (
            V3Alteration,
            '{"name":"a","operation":"BOGUS"}',
            cannot("AlterOperation", 'String "BOGUS"', "not one of the values accepted for Enum class: [SET, DELETE]"),
            "operation",
        ),
        (
            V3Record,
            '{"value":{"type":"BOGUS"}}',
            cannot(
                "EmbeddedFormat",
                'String "BOGUS"',
                "not one of the values accepted for Enum class: [BINARY, JSON, STRING, AVRO, JSONSCHEMA, PROTOBUF]",
            ),
            "value.type",
        ),
        (
            V3Record,
            '{"headers":[{"name":"a","value":"!"}]}',
            cannot("String", 'String "!"', "not valid base64"),
            "headers[0].value",
        ),
        (
            V3CreateTopic,
            '{"topic_name":"a","replicas_assignments":{"x":[]}}',
            cannot("Integer", "a member name"),
            "replicas_assignments",
        ),
        (V3CreateTopic, '{"topic_name":null}', cannot("String", "null"), "topic_name"),
    ],
)
def test_a_value_of_the_wrong_type(type_: type[Any], body: str, said: str, field: str | None) -> None:
    error = error_of(type_, body)
    assert error.message == (said if field is None else f"{said} (at {field})")
    assert error.field == field


@pytest.mark.parametrize(
    ("type_", "body", "message", "field"),
    [
        (V3Batch, '{"entries":[{"id":"1","bogus":1}]}', "Unrecognized field: bogus", "entries[0].bogus"),
        (V3CreateTopic, '{"topic_name":"a","b` - at `$.c`":1}', "Unrecognized field: b` - at `$.c", None),
        (V3CreateTopic, "{}", "Missing required field: topic_name", "topic_name"),
        (
            V2Positions,
            '{"offsets":[{"topic":"t"}]}',
            "Missing required field: partition",
            "offsets[0].partition",
        ),
    ],
)
def test_unknown_and_missing_members(type_: type[Any], body: str, message: str, field: str | None) -> None:
    error = error_of(type_, body)
    assert error.message.startswith(message[:20])
    if field is not None:
        assert (error.message, error.field) == (message, field)


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["records", "value", "partition", "key", "headers", "name", "timestamp", "type", "data"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(_json, st.sampled_from([V2Produce, V3Record, V3CreateTopic, V2Positions]))
def test_messages_contain_no_python_types(value: object, type_: type[Any]) -> None:
    message = ""
    try:
        BodyDecoder(type_).decode(json.dumps(value).encode())
    except FacadeError as error:
        message = error.message
    assert len(message) <= 1000
    head = message.partition(" from ")[0]
    assert not any(word in head for word in ("`int", "`str", "`float", "`bool", "Expected", "V3", "V2"))


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (V3Record, '{"%s":1}'),
        (V3Record, '{"value":{"type":"%s"}}'),
        (V3Record, '{"headers":[{"name":"a","value":"%s!"}]}'),
        (V3Record, '{"partition_id":"%s"}'),
        (V3CreateTopic, '{"topic_name":"a","replicas_assignments":{"%s":[]}}'),
    ],
)
def test_long_input_is_truncated(type_: type[Any], body: str) -> None:
    error = error_of(type_, body % ("x" * 3_000_000))
    assert len(error.message) <= 500
    assert "x" * 201 not in error.message
    assert all(len(value) <= 200 for value in error.metadata.values())
