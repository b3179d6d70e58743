"""Protobuf schemas compiled at run time, their JSON mapping and message indexes; hostile schemas and payloads."""

import base64
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from google.protobuf import any_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.records.decoding_budget import BudgetExceeded, DecodingBudget
from kafka_facade.schemas import protoc
from kafka_facade.schemas.limited_process import limited_process
from kafka_facade.schemas.protobuf import ProtobufCodec
from kafka_facade.schemas.protobuf_weight import Weights
from kafka_facade.schemas.protoc import compile_files
from machine_speed import slowness

SCHEMA = """
syntax = "proto3";
package org.example;
import "google/protobuf/timestamp.proto";
import "google/type/date.proto";
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "other/file.proto";
message Foo {
  string f1 = 1;
  int64 big_number = 2;
  map<string, int32> counts = 3;
  message Inner { int32 a = 1; message Deep { bool b = 1; } }
  Inner inner = 4;
  google.protobuf.Timestamp time = 5;
  google.type.Date date = 6;
  other.Other other = 7;
  repeated double list = 8;
  Kind kind = 9;
  bytes raw = 10;
  optional int32 maybe = 11;
  oneof one { string left = 12; string right = 13; }
  confluent.type.Decimal decimal = 14;
}
enum Kind { NONE = 0; SOME = 1; }
message Bar { int32 x = 1; }
"""
OTHER = 'syntax = "proto3"; package other; message Other { string s = 1; }'


@dataclass
class Source:
    name: str
    text: str


def codec(text: str, *sources: Source) -> ProtobufCodec:
    return ProtobufCodec(compile_files(text, sources))


def test_the_json_mapping() -> None:
    found = codec(SCHEMA, Source("other/file.proto", OTHER))
    assert found.record_name == "org.example.Foo"
    given = {
        "f1": "v",
        "big_number": 12,
        "counts": {"a": 1},
        "inner": {"a": 2},
        "time": "2026-01-01T00:00:00Z",
        "date": {"year": 2026, "month": 1, "day": 2},
        "other": {"s": "x"},
        "list": ["NaN", 1.5],
        "kind": "SOME",
        "raw": "/w==",
    }
    payload = found.encode(given)
    assert payload[:4] == b"\x00\x0a\x01v"
    del given["big_number"]
    assert found.decode(payload) == {**given, "bigNumber": "12"}
    assert found.decode(b"\x00") == {
        "f1": "",
        "bigNumber": "0",
        "counts": {},
        "list": [],
        "kind": "NONE",
        "raw": "",
    }


def test_message_indexes() -> None:
    found = codec(SCHEMA, Source("other/file.proto", OTHER))
    assert found.decode(b"\x02\x02\x08\x05") == {"x": 5}
    # The entry that the map field makes of itself is not counted.
    assert found.decode(b"\x04\x00\x00\x08\x05") == {"a": 5}
    assert found.decode(b"\x06\x00\x00\x00\x08\x01") == {"b": True}
    for payload in (b"", b"\x04\x00", b"\x02\x04", b"\x02\x01", b"\x01\x00", b"\x04\x00\x02", b"\xff" * 9, b"\x02\x0a"):
        with pytest.raises(ValueError):
            found.decode(payload)


def test_a_schema_as_a_serialized_descriptor() -> None:
    files = compile_files(SCHEMA, [Source("other/file.proto", OTHER)])
    by_name = {file.name: file for file in files}

    def serialized(file: FileDescriptorProto) -> str:
        return base64.b64encode(file.SerializeToString()).decode()

    found = codec(serialized(files[-1]), Source("other/file.proto", serialized(by_name["other/file.proto"])))
    payload = found.encode({"f1": "v", "other": {"s": "x"}})
    assert payload == ProtobufCodec(files).encode({"f1": "v", "other": {"s": "x"}})


@pytest.mark.parametrize(
    "data",
    [
        *({"zz": 1}, {"f1": 5}, {"bigNumber": "x"}, {"bigNumber": 2**64}, {"kind": "C"}, {"time": "x"}, {"inner": 5}),
        *([], 5, "x", {"f1": "\ud800"}, {"counts": []}, {"list": [None]}, {"left": "a", "right": "b"}, {"raw": 5}),
        *({"list": [10**400]}, {"list": [float("inf")]}),
    ],
)
def test_data_that_does_not_match_the_message(data: Any) -> None:
    found = codec(SCHEMA, Source("other/file.proto", OTHER))
    with pytest.raises(InvalidRequest):
        found.encode(data)


VALUES = """
syntax = "proto3";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message A {
  double d = 1; float f = 2; bytes b = 3; int32 i = 4; int64 a_long = 5; E e = 6;
  map<string, bytes> bytes_of = 7; map<int32, A> messages_of = 8; repeated float list = 9; repeated A messages = 10;
  google.protobuf.DoubleValue wrapped = 11; google.protobuf.BytesValue raw = 12;
  google.protobuf.Timestamp time = 13; google.protobuf.Duration span = 14;
  google.protobuf.Any any = 15; google.protobuf.Value value = 16;
}
enum E { ZERO = 0; TEN = 10; }
"""


@cache
def values() -> ProtobufCodec:
    return codec(VALUES)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        *(({"b": text}, "b") for text in ("!!!!", "YWJj!", "Y", "YWJj ZA", "YQ=", "=", "YWJj\n", "é", "A===")),
        *(({"d": value}, "d") for value in (True, "1e999", "-1e999", "1" * 400, 10**400, "1_0", " 1", "inf", "nan")),
        *(({"d": value}, "d") for value in ("infinity", "", "0x10", "\u0661")),
        *(({"f": value}, "f") for value in (True, "1e39", "-1e39", 1e39, 10**39, "1_0", "INF")),
        *(({"i": value}, "i") for value in ("1_0", "\u0661", "1\t", "1e-400", "1_0.0", True, 1.5, "1e999")),
        *(({"aLong": value}, "aLong") for value in ("9007199254740993.0", "1_0", "+1_0", 10**400)),
        ({"a_long": "1_0"}, "a_long"),
        *(({"e": value}, "e") for value in ("1_0", " 10", 10.5, True, "\u0661")),
        ({"bytesOf": {"k": "!!!!"}}, "bytesOf.k"),
        ({"messagesOf": {"1_0": {}}}, "messagesOf"),
        ({"messagesOf": {"1": {"b": "!!!!"}}}, "messagesOf.1.b"),
        ({"list": [1, "1_0"]}, r"list\[1\]"),
        ({"messages": [{}, {"messages": [{"i": "1_0"}]}]}, r"messages\[1\]\.messages\[0\]\.i"),
        ({"wrapped": True}, "wrapped"),
        ({"raw": "!!!!"}, "raw"),
        ({"time": "2026-01-01T00:00:00.1_0Z"}, "time"),
        ({"span": "1_0s"}, "span"),
        ({"any": {"@type": "x/A", "b": "!!!!"}}, "any.b"),
        ({"any": {"@type": "x/google.protobuf.BytesValue", "value": "!!!!"}}, "any.value"),
        ({"any": {"@type": "x/google.protobuf.Any", "value": {"@type": "x/A", "i": "1_0"}}}, r"any\.value\.i"),
    ],
)
def test_values_that_would_change_are_rejected(data: Any, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field) as caught:
        values().encode(data)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1], "the value: expected an object, not an array"),
        ({"bogus": 1}, "bogus: the message has no such field"),
        ({"[bogus.x]": 1}, "[bogus.x]: the message has no such field"),
        ({"list": {"r": 1}}, "list: expected an array, not an object"),
        ({"list": [1, None]}, "list[1]: expected a number that a float can hold, not null"),
        ({"messages": 5}, "messages: expected an array, not 5"),
        ({"messages": [None]}, "messages[0]: expected a value, not null"),
        ({"messages": [{}, True]}, "messages[1]: expected an object, not true"),
        ({"bytesOf": [1]}, "bytesOf: expected an object, not an array"),
        ({"b": {"x": 1}}, "b: expected Base64, not an object"),
        ({"b": "\u00e9"}, 'b: expected Base64, not "\\u00e9"'),
        ({"i": {}}, "i: expected an integer that the field can hold, not an object"),
        ({"i": "x"}, 'i: expected an integer that the field can hold, not "x"'),
        ({"i": 2**40}, "i: expected an integer that the field can hold, not 1099511627776"),
        ({"i": 1.5}, "i: expected an integer that the field can hold, not 1.5"),
        ({"e": []}, "e: expected a symbol of the enum or its number, not an array"),
        ({"d": {}}, "d: expected a number that a double can hold, not an object"),
        ({"time": 5}, "time: expected a time such as 2026-01-01T00:00:00.5Z, not 5"),
        ({"time": "x"}, 'time: expected a time such as 2026-01-01T00:00:00.5Z, not "x"'),
        ({"time": "2026-13-01T00:00:00Z"}, "time: the value doesn't fit the field"),
        ({"span": "xs"}, 'span: expected a duration such as 1.5s, with at most 9 digits after the point, not "xs"'),
        ({"span": "999999999999s"}, "span: the value doesn't fit the field"),
        ({"aLong": 1, "a_long": 2}, "a_long: the same field is also given as aLong"),
        ({"messagesOf": {"1": {}, "01": {}}}, "messagesOf.01: the same key is also given as 1"),
        ({"any": [5]}, "any: expected an object with the member @type, not an array"),
        ({"any": {"@type": 5}}, "any: expected an object with the member @type, not an object"),
        ({"any": {"@type": "x/Bogus"}}, 'any.@type: expected a message type that the schema knows, not "x/Bogus"'),
        ({"any": {"@type": "x/google.protobuf.Any"}}, "any: expected an object with the member value, not an object"),
        ({"e": "BOGUS"}, "Invalid enum value BOGUS for enum type E at "),
    ],
)
def test_errors_are_in_terms_of_json(data: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        values().encode(data)
    assert said in str(caught.value)
    assert not any(term in str(caught.value) for term in ("'int'", "dict", "Available Fields", "codec", "format '"))


TWICE = """
syntax = "proto2";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
message A {
  optional int32 foo_bar = 1; map<int32, string> of_int = 2; map<uint64, A> of_long = 3; repeated int32 a_list = 4;
  optional int32 named = 5 [json_name = "other"]; optional google.protobuf.Any any = 6;
  optional google.protobuf.Timestamp ts = 7; optional google.protobuf.Duration du = 8;
  optional google.protobuf.FieldMask fm = 9; optional A inner = 10;
  extensions 100 to 200;
}
extend A { optional int32 more = 100; }
"""


@cache
def twice() -> ProtobufCodec:
    return codec(TWICE)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"fooBar": 1, "foo_bar": 2}, "foo_bar: the same field is also given as fooBar"),
        ({"foo_bar": 1, "fooBar": None}, "fooBar: the same field is also given as foo_bar"),
        ({"fooBar": None, "foo_bar": 1}, "foo_bar: the same field is also given as fooBar"),
        ({"other": 1, "named": 1}, "named: the same field is also given as other"),
        ({"aList": [1], "a_list": []}, "a_list: the same field is also given as aList"),
        ({"ofInt": {"1": "a"}, "of_int": {"2": "b"}}, "of_int: the same field is also given as ofInt"),
        ({"inner": {"fooBar": 1, "foo_bar": 2}}, "inner.foo_bar: the same field is also given as fooBar"),
        ({"any": {"@type": "x/A", "fooBar": 1, "foo_bar": 2}}, "any.foo_bar: the same field is also given as fooBar"),
        ({"[more]": 1, "[more.x]": 2}, "[more.x]: the same field is also given as [more]"),
        ({"any": {"@type": "x/google.protobuf.Duration", "value": "1s", "x": 1}}, "any.x: the message has no such"),
        *(({"ofInt": {"1": "a", key: "b"}}, f"ofInt.{key}: the same key is") for key in ("01", "+1", "1.0", "10e-1")),
        *(({"ofInt": {"0": "a", key: "b"}}, f"ofInt.{key}: the same key is") for key in ("-0", "0e5")),
        ({"ofLong": {str(2**64 - 1): {}, f"0{2**64 - 1}": {}}}, "the same key is also given as 18446744073709551615"),
        *(
            (
                {"ts": f"2020-01-01T00:00:00{end}"},
                f'ts: expected a time such as 2026-01-01T00:00:00.5Z, not "2020-01-01T00:00:00{end}"',
            )
            for end in (
                "+99:99",
                "+24:60",
                "-24:00",
                "+00:60",
                "+1:00",
                "+01:-5",
                "+01",
                ".0000000000Z",
                ".5e-1Z",
                ".Z",
            )
        ),
        *(
            ({"du": text}, f'du: expected a duration such as 1.5s, with at most 9 digits after the point, not "{text}"')
            for text in ("1.0000000009s", "1.5e-1s", "1.s", "1", ".5s", "s")
        ),
        *(
            ({"fm": text}, f'fm: expected comma-separated paths of fields such as a.fooBar, not "{text}"')
            for text in ("a,,b", ",", ",a", "a,", "a..b", ".a", "a.", "a_b", "a, b")
        ),
        ({"fm": 5}, "fm: expected comma-separated paths of fields such as a.fooBar, not 5"),
    ],
)
def test_what_would_be_lost_or_rounded_is_rejected(data: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        twice().encode(data)
    assert said in str(caught.value)


_FRACTIONS = st.just("") | st.from_regex(r"\.[0-9]{1,12}", fullmatch=True)


@settings(max_examples=300)
@given(
    st.datetimes().map(lambda at: at.replace(microsecond=0).isoformat()),
    _FRACTIONS,
    st.just("Z") | st.from_regex(r"[-+][0-9]{2}:[0-9]{2}", fullmatch=True),
)
def test_a_time_is_exact_or_rejected(at: str, fraction: str, offset: str) -> None:
    try:
        found: Any = twice().decode(twice().encode({"ts": at + fraction + offset}))
    except InvalidRequest:
        return
    whole, _, rest = found["ts"].removesuffix("Z").partition(".")
    # Python rejects offsets of a day or more.
    assert datetime.fromisoformat(f"{whole}+00:00") == datetime.fromisoformat(at + offset.replace("Z", "+00:00"))
    assert Decimal(f"0.{rest or 0}") == Decimal(f"0{fraction or '.0'}")


@settings(max_examples=300)
@given(st.from_regex(r"-?[0-9]{1,13}", fullmatch=True), _FRACTIONS)
def test_a_duration_is_exact_or_rejected(whole: str, fraction: str) -> None:
    with suppress(InvalidRequest):
        found: Any = twice().decode(twice().encode({"du": f"{whole}{fraction}s"}))
        assert Decimal(found["du"].removesuffix("s")) == Decimal(whole + fraction)


@settings(max_examples=300)
@given(st.text(alphabet="aB1.,_ \u0130", max_size=8))
def test_a_field_mask_is_stored_unchanged_or_rejected(text: str) -> None:
    with suppress(InvalidRequest):
        found: Any = twice().decode(twice().encode({"fm": text}))
        assert found["fm"] == text
        assert not text or all(part for path in text.split(",") for part in path.split("."))


@settings(max_examples=300)
@given(st.dictionaries(st.from_regex(r"[-+]?0?[0-9](\.0|e1)?", fullmatch=True), st.text("ab"), max_size=6))
def test_a_map_keeps_all_entries_or_is_rejected(entries: dict[str, str]) -> None:
    with suppress(InvalidRequest):
        found: Any = twice().decode(twice().encode({"ofInt": entries}))
        assert found["ofInt"] == {str(int(float(key))): value for key, value in entries.items()}
        assert len(found["ofInt"]) == len(entries)


@pytest.mark.serial
@pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f600"])
def test_a_large_string_is_checked_fast(character: str) -> None:
    found = codec('syntax = "proto3"; message A { string s = 1; }')
    began = time.thread_time()
    assert found.encode({"s": character * 5_000_000})
    assert (time.thread_time() - began) / slowness() < 0.1


@pytest.mark.parametrize("text", ["\ud800", "x" * 3_000_000 + "\udc00", "\ud83d\ude00"])
def test_surrogates_are_rejected(text: str) -> None:
    with pytest.raises(InvalidRequest):
        codec('syntax = "proto3"; message A { string s = 1; }').encode({"s": text})


@pytest.mark.parametrize(
    "data",
    [
        {"d": 1e308, "f": 1.5, "b": "YWJj", "i": -5, "aLong": str(-(2**63)), "e": "TEN"},
        {"d": "NaN", "f": "-Infinity", "list": ["Infinity", 0.5], "value": {"a": [1.0, None, "1_0", True]}},
        {"bytesOf": {"1_0": "/+8="}, "messagesOf": {"-7": {"i": 1}}, "wrapped": 2.5, "raw": "/w=="},
        {"time": "2026-01-01T00:00:00.500Z", "span": "-1.500s", "any": {"@type": "x/A", "i": 7}},
        {"any": {}, "messages": [{}]},
    ],
)
def test_values_are_stored_unchanged(data: Any) -> None:
    found: Any = values().decode(values().encode(data))
    assert _said(found, data)


def _said(found: Any, data: Any) -> bool:
    """Whether all of the data is found again, beside fields that were not given."""
    if isinstance(data, dict):
        return all(name in found and _said(found[name], value) for name, value in data.items())
    if isinstance(data, list):
        return all(_said(one, other) for one, other in zip(found, data, strict=True))
    return bool(found == data)


@pytest.mark.parametrize(
    ("data", "same"),
    [
        ({"b": "_-8"}, {"b": "/+8="}),
        ({"i": "1e3", "aLong": 5.0}, {"i": 1000, "aLong": "5"}),
        ({"d": "1", "f": "-1.5E+1"}, {"d": 1, "f": -15}),
        ({"f": "3.4028235e38"}, {"f": 3.4028234663852886e38}),
        ({"e": "10"}, {"e": "TEN"}),
        ({"e": 10.0}, {"e": "TEN"}),
        ({"messagesOf": {"0" * 5000 + "1": {"i": 2}}}, {"messagesOf": {"1": {"i": 2}}}),
        ({"b": None, "list": None, "any": None}, {}),
    ],
)
def test_other_spellings(data: Any, same: Any) -> None:
    assert values().encode(data) == values().encode(same)


@given(st.text(max_size=6) | st.from_regex(r"[-+0-9_eE. inf]{1,8}", fullmatch=True), st.sampled_from("dfi"))
@settings(max_examples=300)
def test_strings_with_numbers_follow_json_syntax(text: str, field: str) -> None:
    try:
        found: Any = values().decode(values().encode({field: text}))
    except InvalidRequest:
        return
    if text not in ("NaN", "Infinity", "-Infinity"):
        assert set(text) <= set("+-0123456789.eE")
        assert math.isfinite(found[field])
        assert found[field] == pytest.approx(float(text), rel=1e-6)


def test_the_check_takes_linear_time() -> None:
    data = {"messages": [{"list": [1.5] * 100, "bytesOf": {"k": "YWJj"}}] * 500, "b": "A" * 1_000_000}
    nested: dict[str, Any] = {}
    for _ in range(90):
        nested = {"messages": [nested], "b": "YWJj"}
    began = time.process_time()
    for each in (data, nested, {"d": "1" * 1_000_000 + "x"}, {"i": "0." + "1" * 1_000_000}, {"b": "A" * 1_000_001}):
        with suppress(InvalidRequest):
            values().encode(each)
    assert time.process_time() - began < 5


def test_recursion_is_limited() -> None:
    found = codec('syntax = "proto3"; message A { A a = 1; }')
    data: dict[str, Any] = {}
    for _ in range(300):
        data = {"a": data}
    with pytest.raises(InvalidRequest):
        found.encode(data)
    payload = b""
    for _ in range(2000):
        length = len(payload)
        payload = b"\x0a" + bytes([length & 0x7F | 0x80, length >> 7]) + payload
    with pytest.raises(ValueError):
        found.decode(b"\x00" + payload)


def test_required_fields() -> None:
    found = codec("message A { required string a = 1; }")
    with pytest.raises(InvalidRequest):
        found.encode({})
    with pytest.raises(ValueError):
        found.decode(b"\x00\x12\x00\x0a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no message"),
        ("{", r"default\.proto:1:1: "),
        ('syntax = "proto3";', "no message"),
        ('syntax = "proto3"; message A { B b = 1; }', "B"),
        ('syntax = "proto3"; import "../../x.proto"; message A {}', "x.proto"),
        ('syntax = "proto3"; import "/etc/passwd"; message A {}', "not found"),
        ("message A {" * 5000, "recursion"),
        ("AAAA", "default"),
    ],
)
def test_invalid_schemas(text: str, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match=message) as caught:
        codec(text)
    assert "/tmp" not in str(caught.value)
    assert time.monotonic() - started < 6


def test_a_schema_of_white_space_is_rejected_at_once() -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"default\.proto"):
        codec(" " * 40_000 + "!")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "name", ["../x.proto", "/x.proto", "a/../x.proto", "", "a\0b", "x" * 300, ".", "./x", "a/.", "a//b", "a\\b"]
)
def test_reference_names_that_leave_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="imported"):
        codec('syntax = "proto3"; message A {}', Source(name, OTHER))


@pytest.mark.parametrize(
    "name",
    [
        *("--python_out=out", "--plugin=protoc-gen-x=/bin/sh", "--x_out=out", "-I/", "-", "--", "@file", "--help"),
        *("a/-b", "a/@b", ";id>x", "$(id)", "`id`", "a b", "a\nb", "a=b", "a:b", "a,b", "~/x", ".hidden", "a/.b", "*"),
    ],
)
def test_reference_names_that_look_like_options(name: str) -> None:
    with pytest.raises(ValueError, match="imported"):
        codec('syntax = "proto3"; message A {}', Source(name, OTHER))
    with pytest.raises(ValueError, match="imported"):
        codec('syntax = "proto3"; message A {}', Source("good.proto", OTHER), Source(name, OTHER))


@pytest.mark.parametrize("name", ["a/b-c+d/e_1.v2.proto", "a", "x" * 200])
def test_valid_import_names(name: str) -> None:
    found = codec(f'syntax = "proto3"; import "{name}"; message A {{ other.Other o = 1; }}', Source(name, OTHER))
    assert found.decode(found.encode({"o": {"s": "x"}})) == {"o": {"s": "x"}}


def test_conflicting_reference_names() -> None:
    for names in (("a", "a/b"), ("a/b", "a")):
        with pytest.raises(ValueError, match="folder"):
            codec('syntax = "proto3"; message A {}', *(Source(name, OTHER) for name in names))


def test_a_reference_may_have_any_name_that_the_schema_could_have() -> None:
    text = (
        'syntax = "proto3"; import "default.proto"; import "_default.proto"; message A { other.Other o = 1; B b = 2; }'
    )
    second = 'syntax = "proto3"; message B {}'
    found = codec(text, Source("default.proto", OTHER), Source("_default.proto", second))
    assert found.decode(found.encode({"o": {"s": "x"}, "b": {}})) == {"o": {"s": "x"}, "b": {}}


def _require_landlock() -> None:
    path = Path(protoc.__file__).with_name("limited_child.py")
    program = f"import runpy; print(runpy.run_path({str(path)!r})['_restrict']([], True))"
    shown = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    if "True" not in shown.stdout:
        pytest.skip("this kernel has no Landlock")


def _in_child(program: str, folder: Path, cpu_seconds: int = 5) -> tuple[str, int]:
    """What a job prints that runs in the child process of protoc, and its exit status."""
    job = folder.with_name("job.py")
    job.write_text(
        "import os\nimport socket\nimport sys\n\ndef main(_):\n    sys.stdout = sys.stderr\n    "
        + program
        + "\n    return 0\n"
    )
    with limited_process(
        str(job),
        packages=folder,
        cpu_seconds=cpu_seconds,
        output_bytes=10_000,
        folder=folder,
        stderr=subprocess.PIPE,
    ) as process:
        _, shown = process.communicate(timeout=60)
    return shown.decode(), process.returncode


def test_protoc_can_only_read_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    outside = tmp_path / "outside"
    outside.write_text("secret")
    _require_landlock()
    assert "PermissionError" in _in_child(f"print(open({str(outside)!r}).read())", folder)[0]
    assert "PermissionError" in _in_child(f"open({str(outside)!r}, 'w')", folder)[0]
    assert "PermissionError" in _in_child("os.execv('/bin/sh', ['sh', '-c', 'echo run'])", folder)[0]
    connect = "socket.create_connection(('127.0.0.1', 1))"
    assert "PermissionError" in _in_child(connect, folder)[0]
    assert _in_child("open('inside', 'w').write('x')", folder) == ("", 0)
    assert outside.read_text() == "secret"


def test_protoc_has_limited_resources(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    assert _in_child("while True: pass", folder, cpu_seconds=1)[1] in (-signal.SIGXCPU, -signal.SIGKILL)
    assert "MemoryError" in _in_child("bytearray(2 << 30)", folder)[0]
    assert (
        "File too large"
        in _in_child("open('large', 'wb', 0).write(bytes(20_000)); open('large', 'ab', 0).write(b'x')", folder)[0]
    )
    assert "HOME" not in _in_child("print(sorted(os.environ))", folder)[0]


HUGE = 'syntax = "proto3"; message A {' + "".join(f"message M{n} {{}}" for n in range(19_000)) + "}"
MISTAKES = 'syntax = "proto3"; message A {' + "".join(f"X x{n} = {n};" for n in range(1, 60_000)) + "}"


def test_large_schemas_leave_no_memory_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    codec(HUGE)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"default\.proto") as caught:
        codec(MISTAKES)
    assert len(str(caught.value)) <= 500
    assert list(tmp_path.iterdir()) == []


def test_protoc_is_killed_at_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(protoc, "_SECONDS", 0.01)
    with pytest.raises(ValueError, match="takes too long"):
        codec(SCHEMA, Source("other/file.proto", OTHER))
    assert list(tmp_path.iterdir()) == []
    assert [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE] == []


WIDE = "message Wide {" + "".join(f"int32 f{n} = {n};" for n in range(1, 5001)) + "}"


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        # Two bytes are a message, whose fields JSON has all.
        (f"message A {{ repeated Wide w = 1; }} {WIDE}", b"\x0a\x00" * 50_000),
        (f"message A {{ map<int32, Wide> w = 1; }} {WIDE}", b"".join(b"\x0a\x02\x08" + bytes([n]) for n in range(100))),
        (f"message A {{ repeated google.protobuf.Any a = 1; }} {WIDE}", b"\x0a\x08\x0a\x06a/Wide" * 5000),
        ("message A { repeated E e = 1; } enum E { " + "X" * 50_000 + " = 0; }", b"\x0a" + varint(5000) + b"\0" * 5000),
        ("message A { repeated B b = 1; } message B { B " + "n" * 50_000 + " = 1; }", b"\x0a\x02\x0a\x00" * 5000),
        ("message A { repeated B b = 1; } message B { repeated int32 " + "n" * 50_000 + " = 1; }", b"\x0a\x00" * 5000),
    ],
)
def test_few_bytes_decode_to_little_data(text: str, payload: bytes) -> None:
    found = codec(f'syntax = "proto3"; import "google/protobuf/any.proto"; {text}')
    started = time.thread_time()
    with pytest.raises(BudgetExceeded):
        found.decode(b"\0" + payload)
    assert time.thread_time() - started < 2


@pytest.mark.parametrize(
    "declared",
    [
        "".join(f"message M{n} {{}}" for n in range(25_000)),
        "message M {" + "".join(f"map<int32, A> f{n} = {n};" for n in range(1, 6000)) + "}",
        "enum E {" + "".join(f"E{n} = {n};" for n in range(25_000)) + "}",
        "service S {" + "".join(f"rpc m{n} (A) returns (A);" for n in range(21_000)) + "}",
        "message M { oneof o {" + "".join(f"int32 f{n} = {20_000 + n};" for n in range(21_000)) + "} }",
    ],
    ids=["messages", "maps", "symbols", "methods", "members"],
)
def test_schemas_have_a_maximum_size(declared: str) -> None:
    """What protoc has compiled is built in this process, in one piece."""
    started = time.thread_time()
    with pytest.raises(ValueError, match="more than 20000 messages"):
        codec(f'syntax = "proto3"; message A {{}} {declared}')
    assert time.thread_time() - started < 2


def test_unknown_fields_count_towards_the_budget() -> None:
    found = codec('syntax = "proto3"; message A { int32 a = 1; }')
    payload = b"\x10\x00" * 5_000_000
    with pytest.raises(BudgetExceeded):
        found.decode(b"\0" + payload)
    assert found.decode(b"\0" + payload[:100_000]) == {"a": 0}


def test_a_large_message_is_within_the_budget() -> None:
    found = codec(
        'syntax = "proto3"; message A { repeated B items = 1; map<string, B> more = 2; } message B { '
        "string name = 1; int64 number = 2; repeated string tags = 3; E kind = 4; bool flag = 5; B next = 6; } "
        "enum E { NONE = 0; SOME = 1; }"
    )
    item = {"name": "abcd", "number": "7", "tags": ["x"], "kind": "SOME", "flag": True}
    value = {"items": [item] * 20_000, "more": {str(n): item for n in range(1000)}}
    assert found.decode(found.encode(value)) == value


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_decoded_data_is_within_the_budget(payload: bytes) -> None:
    found = _mixed()
    weights = Weights(found.files)
    with suppress(ValueError):
        budget = DecodingBudget(0, free=10_000_000)
        weights._walk(found.codec._find((0,)), memoryview(payload), budget, 0)
        assert len(json.dumps(found.codec.decode(b"\0" + payload))) <= budget.spent + 6 * len(payload) + 100


@dataclass
class Mixed:
    files: list[FileDescriptorProto]
    codec: ProtobufCodec


@cache
def _mixed() -> Mixed:
    text = """
        syntax = "proto3";
        import "google/protobuf/timestamp.proto";
        message A {
          A a = 1; repeated A list = 2; map<int32, A> map = 3; repeated E kinds = 4; repeated int32 numbers = 5;
          google.protobuf.Timestamp time = 6; string text = 7; repeated bool flags = 8; oneof one { E left = 9; }
        }
        enum E { ONE_OF_A_LONG_NAME_THAT_IS_REPEATED = 0; TWO = 1; }
    """
    files = compile_files(text, [])
    return Mixed(files, ProtobufCodec(files))


def test_encoding_json_takes_limited_memory() -> None:
    found = codec(f'syntax = "proto3"; message A {{ repeated Wide w = 1; }} {WIDE}')
    assert found.encode({"w": [{}] * 100})
    with pytest.raises(InvalidRequest, match="too large"):
        found.encode({"w": [{}] * 10_000})


def _any_in_any(levels: int, size: int) -> bytes:
    held = any_pb2.Any(type_url="x" * size).SerializeToString()
    found = any_pb2.Any(type_url="/Held", value=held)
    for _ in range(levels):
        found = any_pb2.Any(type_url="/google.protobuf.Any", value=found.SerializeToString())
    # The field of the message has another number.
    message: bytes = any_pb2.Any(value=found.SerializeToString()).SerializeToString()
    return b"\0\x0a" + message[1:]


def test_an_any_holds_a_copy_of_what_is_in_it() -> None:
    """Each level of Any in Any is decoded from a copy of all that is in it."""
    found = codec(
        'syntax = "proto3"; import "google/protobuf/any.proto"; message A { google.protobuf.Any a = 1; } '
        "message Held { string s = 1; }"
    )
    for levels, size in ((0, 300_000), (20, 300_000), (90, 10)):
        assert found.decode(_any_in_any(levels, size))
    for levels, size in ((470, 300_000), (300, 200_000)):
        payload = _any_in_any(levels, size)
        started = time.process_time()
        with pytest.raises(ValueError, match="too"):
            found.decode(payload)
        assert time.process_time() - started < 0.02


UNCHECKED = """
syntax = "proto2";
import "google/protobuf/any.proto";
message Text {
  optional string one = 1;
  repeated string many = 2;
  map<string, string> map = 3;
  map<string, Text> texts = 4;
  optional Text nested = 5;
  oneof either { string left = 6; string right = 7; }
  optional group Part = 8 { optional string inner = 1; }
  optional google.protobuf.Any any = 9;
  optional bytes raw = 10;
  map<int32, string> numbered = 11;
  extensions 100 to 200;
}
extend Text { optional string extension = 100; }
"""


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (part(1, b"a\xffz"), {"one": "a\ufffdz"}),
        # As Java does, one character for an encoded surrogate.
        (part(1, b"\xed\xa0\x80"), {"one": "\ufffd"}),
        (part(2, b"a") + part(2, b"\xff") + part(2, "é".encode()), {"many": ["a", "\ufffd", "é"]}),
        (part(3, part(1, b"k\xff") + part(2, b"\xfe")), {"map": {"k\ufffd": "\ufffd"}}),
        (part(11, b"\x08\x01" + part(2, b"\xfe")), {"numbered": {"1": "\ufffd"}}),
        (part(4, part(1, b"\xff") + part(2, part(7, b"\xfe"))), {"texts": {"\ufffd": {"right": "\ufffd"}}}),
        (part(5, part(6, b"\xff" * 200)) + part(1, b"b'"), {"nested": {"left": "\ufffd" * 200}, "one": "b'"}),
        (b"\x43" + part(1, b"\xff") + b"\x44" + part(1, b"x"), {"part": {"inner": "\ufffd"}, "one": "x"}),
        (
            part(9, part(1, b"a.com/Text") + part(2, part(1, b"\xff"))),
            {"any": {"@type": "a.com/Text", "one": "\ufffd"}},
        ),
        (part(100, b"\xff"), {"[extension]": "\ufffd"}),
        (part(1, b"\xff") + part(10, b"\xff") + part(50, b"\xff"), {"one": "\ufffd", "raw": "/w=="}),
    ],
)
def test_strings_that_are_not_utf_8(payload: bytes, shown: dict[str, Any]) -> None:
    assert _without_empty(codec(UNCHECKED).decode(b"\0" + payload)) == shown


def _without_empty(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without_empty(value) for name, value in data.items() if value not in ([], {})}
    return data
