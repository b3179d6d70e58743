import json
from typing import Any

import pytest

from kafka_facade_devstack.registry.avro import AvroError, check

POINT = {"type": "record", "name": "Point", "namespace": "geo", "fields": [{"name": "x", "type": "int"}]}


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        {"type": "bytes", "logicalType": "decimal", "precision": 4},
        ["null", "long", {"type": "array", "items": "string"}],
        POINT,
        {"type": "map", "values": POINT},
        {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]},
        {"type": "fixed", "name": "Md5", "size": 16},
        {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]},
        {"type": "record", "name": "Empty", "fields": []},
    ],
    ids=json.dumps,
)
def test_valid_schemas(schema: Any) -> None:
    check(schema, set())


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("strin", "undefined name"),
        (3, "no schema"),
        (None, "no schema"),
        ({}, "no type"),
        (["null", ["int"]], "union"),
        (["null", "null"], "duplicate in union: null"),
        ({"type": "array"}, "no schema"),
        ({"type": "record", "name": "R"}, "no fields"),
        ({"type": "record", "fields": []}, "illegal name"),
        ({"type": "record", "name": "R", "fields": [{"name": "a"}]}, "no type: field a"),
        ({"type": "record", "name": "R", "fields": [{"name": "a-b", "type": "int"}]}, "illegal field name"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}, "duplicate field a"),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "duplicate"),
        ({"type": "fixed", "name": "F", "size": -1}, "size"),
        ([POINT, POINT], "redefine: geo.Point"),
    ],
    ids=str,
)
def test_invalid_schemas(schema: Any, reason: str) -> None:
    with pytest.raises(AvroError, match=reason):
        check(schema, set())


def test_a_name_from_a_reference_is_known() -> None:
    names: set[str] = set()
    check(POINT, names)
    check({"type": "array", "items": "geo.Point"}, names)
