"""Conversion between Avro's JSON and binary encodings, compared with fastavro; hostile schemas and payloads."""

import io
import json
import math
import time
from contextlib import suppress
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.records.decoding_budget import BudgetExceeded
from kafka_facade.schemas.avro import AvroCodec

_LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    ("double", st.floats(allow_nan=False, allow_infinity=False)),
    ("string", st.text(st.characters(codec="utf-8"), max_size=8)),
    ("bytes", st.text(st.characters(max_codepoint=255), max_size=8)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, st.just("\x01\xff")),
    ({"type": "long", "logicalType": "timestamp-millis"}, st.integers(0, 2**40)),
]


class _Names:
    def __init__(self) -> None:
        self.count = 0

    def next(self) -> str:
        self.count += 1
        return f"N{self.count}"


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Any, Any]:
    return _case(draw, _Names(), draw(st.integers(0, 3)))


def _case(draw: st.DrawFn, names: _Names, depth: int) -> tuple[Any, Any]:
    kind = draw(st.integers(0, 6)) if depth else 0
    match kind:
        case 1:
            schema, value = _case(draw, names, depth - 1)
            return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 3))
        case 2:
            schema, value = _case(draw, names, depth - 1)
            keys = draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=3), max_size=3, unique=True))
            return {"type": "map", "values": schema}, dict.fromkeys(keys, value)
        case 3:
            parts = [_case(draw, names, depth - 1) for _ in range(draw(st.integers(0, 3)))]
            fields = [{"name": f"f{index}", "type": schema} for index, (schema, _) in enumerate(parts)]
            value = {f"f{index}": part for index, (_, part) in enumerate(parts)}
            return {"type": "record", "name": names.next(), "namespace": "a.b", "fields": fields}, value
        case 4:
            return {"type": "enum", "name": names.next(), "symbols": ["A", "B"]}, draw(st.sampled_from("AB"))
        case 5:
            return {"type": "fixed", "name": names.next(), "size": 2}, "\xe9\x00"
        case 6:
            return ["null", "int", "long", "float", "bytes"], draw(
                st.sampled_from([None, {"int": 1}, {"long": 1}, {"float": 1.5}, {"bytes": "\xff"}])
            )
    schema, values = draw(st.sampled_from(_LEAVES))
    return schema, draw(values)


@settings(max_examples=300)
@given(_cases())
def test_fastavro_reads_the_encoded_bytes(case: tuple[Any, Any]) -> None:
    schema, value = case
    codec = AvroCodec(json.dumps(schema))
    payload = codec.encode(value)
    assert codec.encode(codec.decode(payload)) == payload
    native = fastavro.schemaless_reader(io.BytesIO(payload), schema)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, native)
    if "long" not in json.dumps(schema):  # fastavro takes the first branch that fits
        assert out.getvalue() == payload


def test_numbers_that_json_cannot_represent() -> None:
    codec = AvroCodec('{"type":"array","items":"double"}')
    values = ["NaN", "Infinity", "-Infinity", 0.1]
    payload = codec.encode(values)
    assert codec.decode(payload) == values
    native: Any = fastavro.schemaless_reader(io.BytesIO(payload), {"type": "array", "items": "double"})
    assert math.isnan(native[0])
    assert native[1:3] == [math.inf, -math.inf]


def test_references_and_recursion() -> None:
    tree = '{"type":"record","name":"a.Tree","fields":[{"name":"children","type":{"type":"array","items":"Tree"}}]}'
    codec = AvroCodec('{"type":"record","name":"Forest","fields":[{"name":"first","type":"a.Tree"}]}', [tree])
    value = {"first": {"children": [{"children": []}, {"children": [{"children": []}]}]}}
    assert codec.decode(codec.encode(value)) == value
    assert codec.record_name == "Forest"
    assert AvroCodec("string").record_name is None


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ("int", 2**31, "expected int"),
        ("int", 1.5, "expected int"),
        ("int", True, "expected int"),
        ("long", "1", "expected long"),
        ("float", 1e300, "doesn't fit"),
        ("double", 10**400, "doesn't fit"),
        ("double", float("inf"), "doesn't fit"),
        ("double", float("nan"), "doesn't fit"),
        ("double", "nan", "expected double"),
        ("boolean", 1, "expected a boolean"),
        ("bytes", "\u0100", "U\\+00FF"),
        ("string", None, "expected a string"),
        ("null", 0, "expected null"),
        (["null", "string"], "x", "expected a union"),
        (["null", "string"], {"null": None}, "no branch null"),
        (["string", "int"], None, "expected a union"),
        ({"type": "array", "items": "int"}, [1, "x"], "1: expected int"),
        ({"type": "array", "items": "int"}, {}, "expected an array"),
        ({"type": "map", "values": "int"}, [], "expected an object"),
        ({"type": "map", "values": "int"}, {"a": "x"}, "a: expected int"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "a symbol of E"),
        ({"type": "fixed", "name": "F", "size": 2}, "abc", "2 bytes"),
        ({"type": "record", "name": "R", "fields": []}, [], "the record R"),
    ],
)
def test_data_that_does_not_match_the_schema(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        AvroCodec(json.dumps(schema)).encode(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "5", "null_", "[[]", "{}", '{"type":"x"}', '{"type":"array"}', '["a.Missing"]', '{"type":[1]}'),
        '{"type":"fixed","name":"F","size":"a"}',
        '{"type":"array","items":' * 5000,
        '{"type":"record","name":"R","fields":5}',
    ],
)
def test_invalid_schemas(text: str) -> None:
    with pytest.raises(ValueError):
        AvroCodec(text)


@pytest.mark.parametrize("member", ["name", "namespace"])
def test_a_name_that_is_a_nested_object(member: str) -> None:
    """It is neither printed nor compiled, which would take time with the square of its size."""
    name = f'{{"{member}":' * 900 + "[" + "1," * 20_000 + "1]" + "}" * 900
    members = {"name": '"R"', "fields": "[]", "type": '"record"'} | {member: name}
    with pytest.raises(ValueError, match=f"^the {member} of a type or field must be a string$"):
        AvroCodec("{" + ",".join(f'"{key}":{value}' for key, value in members.items()) + "}")


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}, b"\x02" * 1_000_000),
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00"),
        ({"type": "array", "items": {"type": "array", "items": "null"}}, b"\xa0\x9c\x01" * 1000),
        ("string", b"\xfe\xff\xff\xff\x0fabc"),
        ("string", b"\x01"),
        ("bytes", b""),
        ("long", b"\xff" * 20),
        ("long", b"\xff" * 9 + b"\x02"),
        ("long", b"\xff" * 9 + b"\x7f"),
        ("int", b"\x80\x80\x80\x80\x10"),
        ("int", b"\xff" * 9 + b"\x01"),
        ({"type": "int", "logicalType": "date"}, b"\x81\x80\x80\x80\x10"),
        (["null", "int"], b"\x08"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x04"),
        ("string", b"\x02\xff"),
        ("double", b"1234"),
    ],
)
def test_hostile_payloads(schema: Any, payload: bytes) -> None:
    with pytest.raises(ValueError):
        AvroCodec(json.dumps(schema)).decode(payload)


@pytest.mark.parametrize(("schema", "bits"), [("int", 32), ("long", 64)])
def test_the_smallest_and_the_largest_number(schema: str, bits: int) -> None:
    codec = AvroCodec(schema)
    for number in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
        assert codec.decode(codec.encode(number)) == number


@pytest.mark.parametrize(
    "schema",
    [
        "x" * 100_000,
        {"type": "x" * 100_000},
        {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["x" * 100_000]}]},
        {"type": "record", "name": "R", "fields": {"x" * 100_000: 1}},
        {"type": "enum", "name": "E", "symbols": ["x" * 100_000 + "-"]},
        {"type": "enum", "name": "E", "symbols": ["A"], "default": "x" * 100_000},
        {"type": "fixed", "name": "E", "size": "x" * 100_000},
    ],
)
def test_errors_truncate_quotations_of_schemas(schema: Any) -> None:
    with pytest.raises(ValueError) as caught:
        AvroCodec(json.dumps(schema))
    assert len(str(caught.value)) < 500


def nested(levels: int, width: int) -> str:
    """Records within records, each with so many fields of the next: a value has width ** levels parts."""
    type_: Any = "null"
    for level in range(levels):
        # Only the first field defines the type, the others name it.
        types = [type_] + [type_ if level == 0 else f"R{level - 1}"] * (width - 1)
        fields = [{"name": f"f{n}", "type": each} for n, each in enumerate(types)]
        type_ = {"type": "record", "name": f"R{level}", "fields": fields}
    return json.dumps(type_)


LONG = "x" * 900


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (nested(11, 10), b""),
        (nested(40, 2), b""),
        (json.dumps({"type": "array", "items": json.loads(nested(3, 10))}), b"\xd0\x0f\x00"),
        (json.dumps({"type": "array", "items": "null"}), b"\x80\x89\x7a\x00"),
        (
            json.dumps({"type": "array", "items": {"type": "array", "items": "null"}}),
            b"\xd0\x0f" + b"\xd0\x0f\x00" * 1000,
        ),
        (json.dumps({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}), b"\x80\x89\x7a\x00"),
        (json.dumps({"type": "array", "items": {"type": "record", "name": "R", "fields": []}}), b"\x80\x89\x7a\x00"),
        # Names that are repeated in JSON.
        (
            json.dumps(
                {"type": "array", "items": {"type": "record", "name": "R", "fields": [{"name": LONG, "type": "int"}]}}
            ),
            b"\xa0\x1f" + b"\x00" * 2000 + b"\x00",
        ),
        (
            json.dumps({"type": "array", "items": {"type": "enum", "name": "E", "symbols": [LONG]}}),
            b"\xa0\x1f" + b"\x00" * 2000 + b"\x00",
        ),
        (
            json.dumps({"type": "array", "items": ["null", {"type": "fixed", "name": LONG, "size": 0}]}),
            b"\xa0\x1f" + b"\x02" * 2000 + b"\x00",
        ),
    ],
)
def test_few_bytes_decode_to_little_data(schema: str, payload: bytes) -> None:
    codec = AvroCodec(schema)
    started = time.thread_time()
    with pytest.raises(BudgetExceeded):
        codec.decode(payload)
    assert time.thread_time() - started < 2


@given(st.binary(max_size=40))
@settings(max_examples=300)
def test_decoded_data_is_within_the_budget(payload: bytes) -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {
                "name": "nulls",
                "type": {"type": "array", "items": ["null", "int", {"type": "fixed", "name": "F", "size": 0}]},
            },
            {"name": "more", "type": {"type": "map", "values": {"type": "array", "items": "F"}}},
        ],
    }
    codec = AvroCodec(json.dumps(schema))
    budget = codec.budget(len(payload))
    with suppress(ValueError):
        found = codec.decode(payload, budget)
        # Control characters have six for one.
        assert len(json.dumps(found)) <= budget.spent + 6 * len(payload) + 100


def test_a_large_record_is_within_the_budget() -> None:
    fields = [{"name": f"a_field_with_a_name_{n}", "type": ["null", "int"]} for n in range(30)]
    codec = AvroCodec(json.dumps({"type": "array", "items": {"type": "record", "name": "R", "fields": fields}}))
    value = [{field["name"]: {"int": 100} for field in fields}] * 500
    payload = codec.encode(value)
    assert codec.decode(payload) == value


@pytest.mark.parametrize("member", ["name", "namespace"])
def test_names_have_a_maximum_length(member: str) -> None:
    """Each of the records within has the namespace in its own name."""
    inner = [{"name": f"f{n}", "type": {"type": "record", "name": f"R{n}", "fields": []}} for n in range(5000)]
    schema = {"type": "record", "name": "R", "namespace": "n", "fields": inner, member: "n" * 200_000}
    started = time.thread_time()
    with pytest.raises(ValueError, match="longer than"):
        AvroCodec(json.dumps(schema))
    assert time.thread_time() - started < 2


RECORDS = [{"type": "record", "name": f"B{n}", "fields": []} for n in range(700)]


@pytest.mark.parametrize(
    "schema",
    [
        [{"type": "record", "name": f"R{n}", "fields": []} for n in range(15_000)],
        {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": ["null", "R"]} for n in range(15_000)]},
        {"type": "enum", "name": "E", "symbols": [f"s{n}" for n in range(50_000)]},
        [*RECORDS, *({"type": "array", "items": [record["name"] for record in RECORDS]} for _ in range(40))],
        # Each of the names becomes a full one.
        {
            "type": "record",
            "name": "R",
            "namespace": "n" * 1000,
            "fields": [{"name": "f", "type": ["R"] * 10_000}],
        },
    ],
    ids=["records", "fields", "symbols", "branches", "full names"],
)
def test_schemas_have_a_maximum_size(schema: Any) -> None:
    """fastavro compiles it in one piece."""
    text = json.dumps(schema)
    assert len(text) < 1024 * 1024
    for others in ([], ['"int"', text]):
        started = time.thread_time()
        with pytest.raises(ValueError, match="too many types"):
            AvroCodec('"long"' if others else text, others)
        assert time.thread_time() - started < 1


@pytest.mark.parametrize("member", ["default", "doc", "aliases"])
def test_members_that_are_not_compiled_have_a_maximum_size(member: str) -> None:
    field = {"name": "f", "type": {"type": "array", "items": "null"}, member: [[]] * 300_000}
    with pytest.raises(ValueError, match="more than 50000 values"):
        AvroCodec(json.dumps({"type": "record", "name": "R", "fields": [field]}))


def test_the_symbols_of_an_enum_are_an_array() -> None:
    started = time.thread_time()
    for symbols in ("A" * 1_000_000, "AB", {"A": 1}, None):
        with pytest.raises(ValueError, match="the symbols of an enum must be an array"):
            AvroCodec(json.dumps({"type": "enum", "name": "E", "symbols": symbols}))
    with pytest.raises(ValueError, match="the symbols of an enum must be an array"):
        AvroCodec('{"type":"enum","name":"E"}')
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({"type": "record", "name": "R", "fields": ["x"]}, "Record field must be an object: x"),
        ({"type": {"type": {"a": 1}}}, "a member has a value of another type"),
        ({"type": "array"}, "not a valid Avro schema: 'items' is missing or unknown"),
        ({"type": "record", "name": "R", "fields": 1}, "a member has a value of another type"),
        ({"type": ["int", {"type": ["x"]}], "name": {}}, "the name of a type or field must be a string"),
    ],
)
def test_errors_of_schemas_are_not_in_terms_of_python(schema: Any, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        AvroCodec(json.dumps(schema))
    assert error in str(caught.value)


def test_schemas_with_references_have_a_maximum_size() -> None:
    texts = [
        json.dumps({"type": "enum", "name": f"E{n}", "symbols": [f"s{m}" for m in range(1000)]}) for n in range(25)
    ]
    AvroCodec('"E7"', texts[:10])
    with pytest.raises(ValueError, match="too many types"):
        AvroCodec('"E7"', texts)


def test_markers_of_parsed_schemas_are_ignored() -> None:
    """A member that fastavro leaves in schemas makes it look at nothing."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "None"}], "__fastavro_parsed": True}
    with pytest.raises(ValueError, match="None"):
        AvroCodec(json.dumps(schema))
    schema["fields"] = [{"name": "a", "type": "R"}]
    assert AvroCodec(json.dumps({**schema, "__named_schemas": {"R": {"type": "int"}}})).record_name == "R"
