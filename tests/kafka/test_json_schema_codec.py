"""JSON that is checked against its schema; hostile schemas."""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.kafka.schemas import json_schema_guard
from kafka_facade.kafka.schemas.json_schema import JsonSchemaCodec


@dataclass
class Source:
    name: str
    text: str


def test_a_value_is_stored_as_compact_json() -> None:
    codec = JsonSchemaCodec('{"title":"User","type":"object","properties":{"f1":{"type":"string"}},"required":["f1"]}')
    assert codec.record_name == "User"
    assert codec.encode({"f1": "é", "n": [1, 2.5, None, 2**70]}) == '{"f1":"é","n":[1,2.5,null,%d]}'.encode() % 2**70
    assert codec.decode(b'{"f1": 5}') == {"f1": 5}
    assert JsonSchemaCodec("true").record_name is None


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"properties": {"f1": {"type": "string"}}}, {"f1": 5}, '#/f1: 5 is not of type "string"'),
        ({"required": ["f1"]}, {}, "f1"),
        ({"items": [{"type": "integer"}]}, ["x"], "#/0: "),  # draft 7
        ({"format": "date-time"}, "yesterday", "date-time"),
        ({"additionalProperties": False}, {"a": 1}, "a"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "null"}]}, [1], "#/0"),
        (False, 1, "#"),
        ({"pattern": "^(a+)+(?=b)$"}, "a" * 60 + "c", "#"),
        ({"items": {"$ref": "#"}, "type": "array"}, [[[1]]], "#/0/0/0"),
    ],
)
def test_a_value_that_is_not_of_the_schema(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        JsonSchemaCodec(json.dumps(schema)).encode(value)


@pytest.mark.parametrize("where", [{}, {"$id": "https://example.org/schemas/a.json"}])
@pytest.mark.parametrize("name", ["other.json", "https://example.org/other.json"])
def test_references(where: dict[str, str], name: str) -> None:
    schema = json.dumps({**where, "properties": {"a": {"$ref": name}}})
    codec = JsonSchemaCodec(schema, [Source(name, '{"type":"integer"}')])
    assert codec.encode({"a": 1}) == b'{"a":1}'
    with pytest.raises(InvalidRequest):
        codec.encode({"a": "x"})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "5", "[]", "null", '{"type":5}', '{"type":"nonsense"}', '{"properties":5}', '{"pattern":"("}'),
        '{"$ref":"other.json"}',
        '{"$ref":"http://127.0.0.1:1/other.json"}',
        '{"$ref":"file:///etc/passwd"}',
        '{"not":' * 5000 + "{}" + "}" * 5000,
        "[" * 100_000,
    ],
)
def test_what_is_no_schema(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError):
        JsonSchemaCodec(text)
    assert time.monotonic() - started < 5


def _doubling(count: int) -> dict[str, Any]:
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(count)}
    return {"definitions": {**steps, f"d{count}": {}}, "$ref": "#/definitions/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        _doubling(40),
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/definitions/a"}], "definitions": {"a": {"anyOf": [{"$ref": "#"}]}}},
        {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
    ],
)
def test_what_could_take_for_ever_ends(schema: dict[str, Any]) -> None:
    codec = JsonSchemaCodec(json.dumps(schema))
    assert codec.costly
    value: Any = 1
    for _ in range(100):
        value = {"a": value}
    started = time.monotonic()
    with pytest.raises(InvalidRequest):
        codec.encode(value)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ([rf"(?=\w{{17}}){n}" for n in range(100)], "more than 40 patterns that look around or back"),
        ([rf"^([^{chr(0x4E00 + n)}]{{18}}|x)$" for n in range(5000)], "more than 200 patterns"),
        (["a" * 20_000], "a pattern is longer than 10000 characters"),
    ],
)
def test_patterns_that_take_long_to_compile_or_much_memory(patterns: list[str], message: str) -> None:
    schemas: tuple[dict[str, Any], ...] = (
        {"allOf": [{"pattern": pattern} for pattern in patterns]},
        {"patternProperties": {pattern: {} for pattern in patterns}},
    )
    for schema in schemas:
        started = time.process_time()
        with pytest.raises(ValueError, match=message):
            JsonSchemaCodec(json.dumps(schema))
        with pytest.raises(ValueError, match=message):
            JsonSchemaCodec('{"$ref":"other.json"}', [Source("other.json", json.dumps(schema))])
        assert time.process_time() - started < 2


def test_the_same_pattern_in_many_places() -> None:
    schema = {"properties": {f"p{n}": {"pattern": "^[a-z]+(?!x)$"} for n in range(300)}}
    assert JsonSchemaCodec(json.dumps(schema)).encode({"p7": "a"}) == b'{"p7":"a"}'


def test_much_data_for_a_large_schema() -> None:
    codec = JsonSchemaCodec(json.dumps({"items": {"allOf": [{"minimum": n} for n in range(5000)]}}))
    assert codec.encode([9000]) == b"[9000]"
    with pytest.raises(InvalidRequest, match="too large"):
        codec.encode([9000] * 50_000)


TREE: dict[str, Any] = {
    "title": "Tree",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+(?!x)$"},
        "children": {"type": "array", "items": {"$ref": "#"}, "uniqueItems": True},
        "other": {"$ref": "other.json#/definitions/number"},
    },
    "patternProperties": {"^x-": {"type": "integer"}},
}


def test_a_recursive_schema() -> None:
    schema = {**TREE, "properties": {**TREE["properties"], "name": {"type": "string", "pattern": "^[a-z]+(?!x)$"}}}
    codec = JsonSchemaCodec(json.dumps(schema), [Source("other.json", '{"definitions":{"number":{"type":"integer"}}}')])
    assert codec.costly
    assert codec.record_name == "Tree"
    codec.encode({"name": "a", "children": [{"name": "b", "children": []}, {"other": 1}], "x-a": 1})
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"children": [deep]}
    codec.encode(deep)
    for bad, message in (
        ({"children": [{"name": "A"}]}, "#/children/0/name: "),
        ({"children": [{"children": [5]}]}, "#/children/0/children/0: "),
        ({"children": [{}, {}]}, "#/children: "),
        ({"other": "x"}, "#/other: "),
        ({"x-a": "x"}, "#/x-a: "),
    ):
        with pytest.raises(InvalidRequest, match=message):
            codec.encode(bad)


def test_what_a_recursive_schema_refers_to() -> None:
    with pytest.raises(InvalidRequest, match="isn't there"):
        JsonSchemaCodec('{"items":{"$ref":"#"},"properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}').encode({"a": 1})
    with pytest.raises(ValueError):
        JsonSchemaCodec('{"items":{"$ref":"#"},"type":5}')


def test_nothing_is_fetched() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        loop: dict[str, Any] = {"items": {"$ref": "#"}}
        for schema, others in (
            ({"$ref": f"{base}/a"}, {}),
            ({"$schema": f"{base}/a"}, {}),
            ({"$schema": f"{base}/a", **loop}, {}),
            ({"$id": f"{base}/a/", "properties": {"a": {"$ref": "b"}}}, {}),
            ({"$id": f"{base}/a/", "properties": {"a": {"$ref": "b"}}, **loop}, {}),
            ({"properties": {"a": {"$ref": f"{base}/a"}}, **loop}, {}),
            ({"$ref": "o"}, {"o": {"$ref": f"{base}/a"}}),
            ({"$ref": "o"}, {"o": {"$id": f"{base}/x", "properties": {"a": {"$ref": "b"}}}}),
            ({"$ref": "o"}, {"o": {"$schema": f"{base}/a"}}),
            ({"properties": {"a": {"$ref": "o"}}, **loop}, {"o": {"$schema": f"{base}/a", "$ref": f"{base}/b"}}),
            ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$dynamicRef": f"{base}/a"}, {}),
            ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {"a": {"$schema": f"{base}/a"}}}, {}),
        ):
            with suppress(ValueError, InvalidRequest):
                sources = [Source(name, json.dumps(text)) for name, text in others.items()]
                JsonSchemaCodec(json.dumps(schema), sources).encode({"a": 1})
        server.shutdown()
        thread.join()
    assert asked == []


def test_shared_definitions_are_checked_fast() -> None:
    schema: dict[str, Any] = {
        "definitions": {"n": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/definitions/n"}},
    }
    schema["properties"]["b"] = {"$ref": "#/definitions/n"}
    codec = JsonSchemaCodec(json.dumps(schema))
    assert not codec.costly
    with pytest.raises(InvalidRequest, match="#/b"):
        codec.encode({"a": 1, "b": "x"})


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json(payload: bytes) -> None:
    with pytest.raises(ValueError):
        JsonSchemaCodec("true").decode(payload)


LOOP: dict[str, Any] = {
    "definitions": {"r": {"items": {"$ref": "#/definitions/r"}}},
    "allOf": [{"$ref": "#/definitions/r"}],
}


def _checked(schema: Any) -> dict[str, Any]:
    """Items that are checked, and valid whether they are of the schema or not."""
    return {"items": {"anyOf": [{"not": {"not": schema}}, {}]}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_checked({"enum": list(range(50_000))}), [-1] * 30_000),
        (_checked({"required": [str(n) for n in range(50_000)]}), [{}] * 100_000),
        (_checked({"properties": {f"a{n}": {} for n in range(5000)}}), [{}] * 100_000),
        (_checked({"pattern": "^(a+)+(?=b)$"}), ["a" * 60 + "c"] * 100_000),
        ({"items": {"multipleOf": 1e-300}}, [1e300] * 100_000),
        ({"anyOf": [{"type": "string"}] * 1000 + [{}]}, ["x"] * 100_000),
        ({**LOOP, "contains": {"contains": {"contains": {"const": 5}}}}, [[[1] * 100] * 100] * 100),
    ],
)
def test_much_data_ends(schema: Any, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema_guard, "_SECONDS", 0.3)
    codec = JsonSchemaCodec(json.dumps(schema))
    started = time.thread_time()
    with suppress(InvalidRequest):
        codec.encode(value)
    assert time.thread_time() - started < 4


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({**LOOP, "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 60 + "b": 1}),
        ({**LOOP, "patternProperties": {"^(a+)+(?!b)$": False}, "additionalProperties": {}}, {"a" * 60 + "b": 1}),
        ({**LOOP, "propertyNames": {"pattern": "^(a+)+$"}}, {"a" * 60 + "b": 1}),
        ({**LOOP, "pattern": "^(a|a)*$"}, "a" * 60 + "b"),
        ({**LOOP, "uniqueItems": True}, [1, 1.0]),
        ({**LOOP, "oneOf": [{}, {}]}, 1),
        ({**LOOP, "oneOf": [{"type": "string"}]}, 1),
        ({**LOOP, "anyOf": [{"type": "string"}]}, 1),
    ],
)
def test_what_is_checked_within_a_budget(schema: Any, value: Any) -> None:
    codec = JsonSchemaCodec(json.dumps(schema))
    started = time.thread_time()
    with suppress(InvalidRequest):
        codec.encode(value)
        assert "(?!" in json.dumps(schema)
    assert time.thread_time() - started < 2


def test_unique_items_within_a_budget() -> None:
    codec = JsonSchemaCodec(json.dumps({**LOOP, "uniqueItems": True}))
    codec.encode([1, True, "1", [1], {"a": 1}, 1.5, None, 0, False, ""])
    with pytest.raises(InvalidRequest, match="unique"):
        codec.encode([{"a": [1], "b": 2}, {"b": 2.0, "a": [1.0]}])


def test_members_called_id_are_no_reason_for_the_budget() -> None:
    codec = JsonSchemaCodec('{"properties":{"id":{"type":"integer"},"$id":{}},"required":["id"]}')
    assert not codec.costly
    many = json.dumps({"items": {"properties": {f"p{n}": {"type": "integer"} for n in range(30)}}})
    assert not JsonSchemaCodec(many).costly
