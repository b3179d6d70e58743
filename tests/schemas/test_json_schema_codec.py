"""Validation of JSON with schemas; hostile schemas."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.records.decoding_budget import BudgetExceeded
from kafka_facade.core.records.port import TakesLong
from kafka_facade.schemas.json_schema import JsonSchemaCodec
from kafka_facade.schemas.json_schema_checkers import Checkers
from kafka_facade.schemas.json_schema_size import work_per_value

pytestmark = pytest.mark.xdist_group("json_schema_codec")


@dataclass
class Source:
    name: str
    text: str


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    yield
    CHECKERS.close()


CHECKERS = Checkers()


def codec(text: str, references: Sequence[Source] = ()) -> JsonSchemaCodec:
    return JsonSchemaCodec(text, references, CHECKERS)


def is_checked_elsewhere(found: JsonSchemaCodec) -> bool:
    return found.most_data_on_loop < 0


def test_a_value_is_stored_as_compact_json() -> None:
    found = codec('{"title":"User","type":"object","properties":{"f1":{"type":"string"}},"required":["f1"]}')
    assert found.record_name == "User"
    assert found.encode({"f1": "é", "n": [1, 2.5, None, 2**70]}) == '{"f1":"é","n":[1,2.5,null,%d]}'.encode() % 2**70
    assert found.decode(b'{"f1": 5}') == {"f1": 5}
    assert codec("true").record_name is None


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
def test_invalid_values(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        codec(json.dumps(schema)).encode(value)


@pytest.mark.parametrize("where", [{}, {"$id": "https://example.org/schemas/a.json"}])
@pytest.mark.parametrize("name", ["other.json", "https://example.org/other.json"])
def test_references(where: dict[str, str], name: str) -> None:
    schema = json.dumps({**where, "properties": {"a": {"$ref": name}}})
    found = codec(schema, [Source(name, '{"type":"integer"}')])
    assert found.encode({"a": 1}) == b'{"a":1}'
    with pytest.raises(InvalidRequest):
        found.encode({"a": "x"})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "5", "[]", "null", '{"type":5}', '{"type":"nonsense"}', '{"properties":5}', '{"pattern":"("}'),
        '{"$ref":"other.json"}',
        '{"$ref":"http://127.0.0.1:1/other.json"}',
        '{"$ref":"file:///etc/passwd"}',
        '{"$ref":"#/definitions/' + "9" * 5000 + '","definitions":[]}',
        '{"not":' * 5000 + "{}" + "}" * 5000,
        "[" * 100_000,
    ],
)
def test_invalid_schemas(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError) as caught:
        codec(text)
    assert "int_max_str_digits" not in str(caught.value)
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
def test_expensive_checks_end(schema: dict[str, Any]) -> None:
    found = codec(json.dumps(schema))
    assert is_checked_elsewhere(found)
    value: Any = 1
    for _ in range(100):
        value = {"a": value}
    with own_time() as own, suppress(InvalidRequest):
        found.encode(value)
    assert own() < 1


def _unevaluated(keyword: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(20):
        schema = {keyword: [schema] if keyword == "anyOf" else schema, "unevaluatedProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@pytest.mark.parametrize(
    ("schema", "others"),
    [
        ({"$id": "http://x/y", "properties": {"a": {"allOf": [{"$ref": "http://x/y"}, {"$ref": "y"}]}}}, {}),
        ({"$id": "http://x/y", "properties": {"a": {"allOf": [{"$ref": "y"}, {"$ref": "%79"}]}}}, {"y": {}}),
        (
            {"$ref": "d/b"},
            {"d/b": {"properties": {"a": {"allOf": [{"$ref": "a"}] * 2}}}, "a": {}, "d/a": {"$ref": "b"}},
        ),
        ({"$ref": "b"}, {"b": {"$id": "http://x/c", "properties": {"a": {"allOf": [{"$ref": "c"}] * 2}}}, "c": {}}),
        (_unevaluated("anyOf"), {}),
        (_unevaluated("if"), {}),
    ],
    ids=["its own place", "a name of its place", "two names of one place", "another place", "anyOf", "if"],
)
def test_repeated_evaluations_end(schema: dict[str, Any], others: dict[str, Any]) -> None:
    """References that lead to a schema by another name than its own, and keywords that evaluate others again."""
    value: Any = 1
    for _ in range(40):
        value = {"a": value}
    with own_time() as own, suppress(ValueError, InvalidRequest):
        found = codec(json.dumps(schema), [Source(name, json.dumps(other)) for name, other in others.items()])
        assert is_checked_elsewhere(found)
        found.encode(value)
    assert own() < 1


# Two million characters, of which no two parts are alike, and as many for which each look ahead is a long one.
MIXED = "".join(random.Random(1).choices("ab", k=2_000_000))
MANY = "a" * 2_000_000 + "z"


@contextmanager
def own_time() -> Iterator[Callable[[], float]]:
    """The processor time (s) of this process, in which nothing else runs while a check does."""
    started = time.process_time()
    yield lambda: time.process_time() - started


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        # Linear, but with a thousand states for each character.
        ({"pattern": "^[ab]*a[ab]{900}c$"}, MIXED),
        ({"items": {"patternProperties": {"^[ab]*a[ab]{900}c$": {}}}}, [{MIXED: 1}]),
        # Without backtracking, each step looks at all that follows.
        ({"pattern": "^(?:(?=.*z)a)+$"}, MANY),
        ({"propertyNames": {"pattern": "^(?:(?=.*z)a)+$"}}, {MANY: 1}),
        ({"not": {"allOf": [{"pattern": "^(?:(?=.*z)a)+$"}]}}, MANY),
    ],
    ids=["states", "states of names", "looks", "looks of names", "looks in not"],
)
def test_a_check_is_killed_at_its_time_limit(schema: dict[str, Any], value: Any) -> None:
    found = codec(json.dumps(schema))
    with own_time() as own, pytest.raises(InvalidRequest, match="too much time or memory"):
        found.encode(value)
    assert own() < 1
    # The next finds a process.
    assert codec('{"pattern":"^(?!b)a$"}').encode("a") == b'"a"'


@pytest.mark.parametrize(
    "patterns",
    [
        [rf"(?=\w{{17}}){n}" for n in range(8000)],
        [f"{n}" + "(a|b)?" * 1500 for n in range(2000)],
    ],
)
def test_patterns_that_are_too_expensive_to_compile(patterns: list[str]) -> None:
    schema = json.dumps({"allOf": [{"pattern": pattern} for pattern in patterns]})
    with own_time() as own:
        for text, others in ((schema, ()), ('{"$ref":"other.json"}', (Source("other.json", schema),))):
            with pytest.raises(ValueError, match="the schema takes too much time or memory"):
                codec(text, others)
    assert own() < 2


def test_a_process_caches_the_latest_schemas() -> None:
    found = [codec(json.dumps({"pattern": f"^(?!x)a{{{n}}}$"})) for n in range(40)]
    for n in [*range(40), *range(40)]:
        found[n].encode("a" * n)
        with pytest.raises(InvalidRequest, match="#"):
            found[n].encode("a" * (n + 1))


_LARGE = [2**63 + n for n in range(3000)]
_FAILING = {"items": {"required": [f"x{n}" for n in range(90)]}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"uniqueItems": True}, _LARGE),
        ({"uniqueItems": True}, [{"a": [-number - 2]} for number in _LARGE]),
        ({"items": {"uniqueItems": True}}, [_LARGE]),
        ({"items": {"enum": [10**3999]}}, [10**3999] * 200),
    ],
)
def test_large_numbers_are_compared_in_a_child_process(schema: dict[str, Any], value: Any) -> None:
    found = codec(json.dumps(schema))
    with pytest.raises(TakesLong):
        found.encode(value, on_loop=True)
    with own_time() as own, suppress(InvalidRequest):
        found.encode(value)
    assert own() < 0.2


def test_a_few_large_numbers_are_compared_in_this_process() -> None:
    found = codec('{"uniqueItems":true}')
    assert found.encode([2**63, 2**64, 1e300], on_loop=True) == b"[%d,%d,1e300]" % (2**63, 2**64)
    with pytest.raises(InvalidRequest, match="unique"):
        found.encode([2**63, 2**63], on_loop=True)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"anyOf": [_FAILING] * 2}, [{}] * 150, "anyOf"),
        ({"anyOf": [_FAILING] * 2}, [{}] * 3000, "does not match the schema; finding the position takes too much"),
        ({"oneOf": [{"items": {"type": "string"}}] * 2}, [{}] * 10_000, "#: "),
    ],
)
def test_many_failures_are_explained_in_a_child_process(schema: dict[str, Any], value: Any, message: str) -> None:
    found = codec(json.dumps(schema))
    with pytest.raises(TakesLong):
        found.encode(value, on_loop=True)
    with own_time() as own, pytest.raises(InvalidRequest, match=message):
        found.encode(value)
    assert own() < 0.05
    with pytest.raises(InvalidRequest, match=r"Of. keyword"):
        found.encode([{}], on_loop=True)


def test_required_names_are_counted() -> None:
    """Each member ``a`` asks for 5,000 others: 100,000 of them are too many for this process."""
    asked = {"a": [str(n) for n in range(5000)]}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "items": {"dependentRequired": asked}}
    assert is_checked_elsewhere(codec(json.dumps(schema)))
    assert is_checked_elsewhere(codec(json.dumps({"dependencies": asked})))


def _grouped(patterns: Sequence[str]) -> dict[str, Any]:
    """A schema with many patterns, of which few are for one value."""
    groups = [patterns[first : first + 150] for first in range(0, len(patterns), 150)]
    return {
        "properties": {
            f"g{number}": {"properties": {f"p{n}": {"pattern": pattern} for n, pattern in enumerate(group)}}
            for number, group in enumerate(groups)
        }
    }


@pytest.mark.parametrize(
    ("schema", "elsewhere"),
    [
        (_grouped([rf"\d{{3}}{n:x}" for n in range(1600)]), True),
        ({"pattern": "[" + r"\s\S" * 11_000 + "]"}, True),
        ({"patternProperties": {"[" + r"\s\S" * 60 + "]": {}, **{rf"[^\s]{n}": {} for n in range(1500)}}}, True),
        (_grouped([rf"^(\d{n})([^\s]{{4}})([^a]{{4}})$" for n in range(200)]), True),
        (_grouped([rf"\d{{3}}{n:x}" for n in range(50)]), False),
        (_grouped([f"^a{n}$" for n in range(500)]), False),
        (_grouped(["[" + r"\s\S" * 62 + f"a{n}]" for n in range(20)]), False),
    ],
)
def test_a_schema_compiles_fast_or_in_a_child_process(schema: dict[str, Any], elsewhere: bool) -> None:
    """Compiling lets no other thread run. What this thread does itself, besides, is not more than that."""
    text = json.dumps(schema)
    took = []
    for _ in range(3):
        started = time.thread_time()
        found = codec(text)
        took.append(time.thread_time() - started)
    assert min(took) < 0.1
    assert is_checked_elsewhere(found) is elsewhere
    assert found.encode({}) == b"{}"


def test_the_same_pattern_in_many_places() -> None:
    schema = {"properties": {f"p{n}": {"pattern": "^[a-z]+(?!x)$"} for n in range(300)}}
    assert codec(json.dumps(schema)).encode({"p7": "a"}) == b'{"p7":"a"}'


def test_much_data_for_a_large_schema() -> None:
    found = codec(json.dumps({"items": {"allOf": [{"minimum": n} for n in range(5000)]}}))
    assert found.encode([9000]) == b"[9000]"
    with own_time() as own, pytest.raises(InvalidRequest, match="too much"):
        found.encode([9000] * 1_000_000)
    assert own() < 1


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
    found = codec(json.dumps(schema), [Source("other.json", '{"definitions":{"number":{"type":"integer"}}}')])
    assert is_checked_elsewhere(found)
    assert found.record_name == "Tree"
    found.encode({"name": "a", "children": [{"name": "b", "children": []}, {"other": 1}], "x-a": 1})
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"children": [deep]}
    found.encode(deep)
    for bad, message in (
        ({"children": [{"name": "A"}]}, "#/children/0/name: "),
        ({"children": [{"children": [5]}]}, "#/children/0/children/0: "),
        ({"children": [{}, {}]}, "#/children: "),
        ({"other": "x"}, "#/other: "),
        ({"x-a": "x"}, "#/x-a: "),
    ):
        with pytest.raises(InvalidRequest, match=message):
            found.encode(bad)


def test_references_of_a_recursive_schema() -> None:
    for schema in (
        '{"items":{"$ref":"#"},"properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}',
        '{"items":{"$ref":"#"},"type":5}',
    ):
        with pytest.raises(ValueError):
            codec(schema)


def test_remote_schemas_are_not_fetched() -> None:
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
                codec(json.dumps(schema), sources).encode({"a": 1})
        server.shutdown()
        thread.join()
    assert asked == []


def test_shared_definitions_are_checked_fast() -> None:
    schema: dict[str, Any] = {
        "definitions": {"n": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/definitions/n"}},
    }
    schema["properties"]["b"] = {"$ref": "#/definitions/n"}
    found = codec(json.dumps(schema))
    assert not is_checked_elsewhere(found)
    with pytest.raises(InvalidRequest, match="#/b"):
        found.encode({"a": 1, "b": "x"})


def test_arrays_of_a_payload_are_within_the_budget() -> None:
    found = codec("true")
    for payload in (b"[" + b"[]," * 2_000_000 + b"1]", b"[" + b'{"a":{}},' * 500_000 + b"1]"):
        with pytest.raises(BudgetExceeded):
            found.decode(payload, found.budget(len(payload)))
    large = [{"name": "some text", "tags": ["a", "b"], "n": n} for n in range(50_000)]
    payload = found.encode(large)
    assert found.decode(payload, found.budget(len(payload))) == large


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000])
def test_invalid_json(payload: bytes) -> None:
    with pytest.raises(ValueError):
        codec("true").decode(payload)


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
def test_large_data_ends(schema: Any, value: Any) -> None:
    found = codec(json.dumps(schema))
    with own_time() as own, suppress(InvalidRequest):
        found.encode(value)
    assert own() < 1


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
def test_checks_of_a_recursive_schema(schema: Any, value: Any) -> None:
    with own_time() as own, suppress(InvalidRequest):
        codec(json.dumps(schema)).encode(value)
        assert "(?!" in json.dumps(schema)
    assert own() < 1


def test_unique_items_of_a_recursive_schema() -> None:
    found = codec(json.dumps({**LOOP, "uniqueItems": True}))
    found.encode([1, True, "1", [1], {"a": 1}, 1.5, None, 0, False, ""])
    with pytest.raises(InvalidRequest, match="unique"):
        found.encode([{"a": [1], "b": 2}, {"b": 2.0, "a": [1.0]}])


def test_members_named_id_need_no_child_process() -> None:
    found = codec('{"properties":{"id":{"type":"integer"},"$id":{}},"required":["id"]}')
    assert not is_checked_elsewhere(found)
    many = json.dumps({"items": {"properties": {f"p{n}": {"type": "integer"} for n in range(30)}}})
    assert not is_checked_elsewhere(codec(many))


_HOLDER = """
import sys, threading, psutil
from kafka_facade.schemas.json_schema import JsonSchemaCodec
from kafka_facade.schemas.json_schema_checkers import Checkers
checkers = Checkers()
JsonSchemaCodec('{"pattern":"^(?!b)a$"}', (), checkers).encode("a")
slow = JsonSchemaCodec('{"pattern":"^(?:(?=.*z)a)+$"}', (), checkers)
threading.Thread(target=slow.encode, args=("a" * 2_000_000 + "z",), daemon=True).start()
while not any(child.cpu_times().user > 0.5 for child in psutil.Process().children()):
    pass
print(*(child.pid for child in psutil.Process().children()), flush=True)
sys.stdin.read()
"""


def test_child_processes_end_with_their_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        children = [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
        assert children
        holder.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_a_closed_pool_has_no_processes() -> None:
    checkers = Checkers()
    before = {child.pid for child in psutil.Process().children()}
    found = JsonSchemaCodec('{"pattern":"^(?!b)a$"}', (), checkers)
    assert {child.pid for child in psutil.Process().children()} - before
    checkers.close()
    assert found.encode("a") == b'"a"'
    assert {child.pid for child in psutil.Process().children()} <= before


def test_concurrent_threads_use_one_process_each() -> None:
    found = codec('{"pattern":"^(?!b)a+$"}')
    before = {child.pid for child in psutil.Process().children()}
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(found.encode, ["a" * n for n in range(1, 400)])) == [
            b'"' + b"a" * n + b'"' for n in range(1, 400)
        ]
    assert len({child.pid for child in psutil.Process().children()} - before) <= 2


def test_parts_are_counted_once_however_references_spell_them() -> None:
    name = "abcdefgh"
    spelled = [
        "#/" + "".join(f"%{ord(letter):x}" if number >> place & 1 else letter for place, letter in enumerate(name))
        for number in range(2 ** len(name))
    ]
    schema = {name: {"properties": {str(n): {} for n in range(2_000)}}, "anyOf": [{"$ref": text} for text in spelled]}
    started = time.process_time()
    work_per_value(schema, {})
    assert time.process_time() - started < 0.5


COSTLY: dict[str, tuple[Any, Any]] = {
    "one long name": ({"format": "idn-hostname"}, "\u00fc." * 5_000_000),
    "many names": ({"items": {"format": "idn-hostname"}}, ["xn--mnchen-3ya.\u0645"] * 300_000),
    "many addresses": ({"items": {"format": "idn-email"}}, ["a@\u0645.\u0645"] * 245_000),
    "JSON in a text": ({"contentMediaType": "application/json"}, '[{"a":1}' + ',{"a":1}' * 750_000 + "]"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_formats_are_not_checked_in_this_process(name: str) -> None:
    """A check holds the interpreter lock until it is done."""
    schema, data = COSTLY[name]
    found = codec(json.dumps(schema))
    started = time.thread_time()
    with suppress(InvalidRequest):
        found.encode(data)
    assert time.thread_time() - started < 0.15


@pytest.mark.parametrize("format", ["idn-hostname", "idn-email", "date-time", "iri", "email"])
def test_formats_are_checked(format: str) -> None:
    found = codec(json.dumps({"items": {"format": format}}))
    with pytest.raises(InvalidRequest, match=format):
        found.encode(["\\(", "\u0645 \u0645", "."])
