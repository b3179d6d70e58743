"""The Avro codec, compiled from a schema and its references."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.decoding_budget import DecodingBudget
from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.model import Format
from kafka_facade.schemas.avro_decoding import AvroReader, compile_decoder
from kafka_facade.schemas.avro_encoding import AvroMismatch, compile_encoder

# Limits of a schema with its references. A record field counts as three parts; 20,000 parts compile in up to 50 ms.
_decode_json = JsonDecoder().decode
_MAX_NAME: Final = 1000
_MAX_PARTS: Final = 20_000
_MAX_NAMES: Final = 8 * 1024 * 1024
# Estimated memory (bytes) of a part, and of a character of the schema texts.
_PART_MEMORY: Final = 400
_CHARACTER_MEMORY: Final = 8
# Members by which fastavro recognizes a schema that it has parsed itself, and members that it does not compile.
_PARSED_MARKS: Final = ("__fastavro_parsed", "__named_schemas")
_NOT_COMPILED: Final = ("default", "doc", "aliases")
# Limit of the values in these members, and the estimated memory (bytes) of each.
_MAX_VALUES: Final = 50_000
_VALUE_MEMORY: Final = 100

_NOT_AN_OBJECT: Final = re.compile(r"must be a dict, not \w+")

_NAMED: Final = ("record", "error", "enum", "fixed")
_PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class AvroCodec:
    """Converts between Avro's JSON encoding and its binary encoding."""

    format = Format.AVRO
    most_data_on_loop = 50_000
    most_on_loop = 4_000

    def __init__(self, text: str, references: Sequence[str] = ()) -> None:
        """Raises ValueError for an invalid schema. A reference comes before the schemas that refer to it."""
        named: dict[str, Any] = {}
        try:
            others, own = [_read(reference) for reference in references], _read(text)
            memory = _check_size([*others, own])
            for other in others:
                parse_schema(other, named_schemas=named)
            schema = parse_schema(own, named_schemas=named)
            self._encode = compile_encoder(schema, named)
            self._decode = compile_decoder(schema, named)
        except (SchemaParseException, UnknownType) as error:
            raise ValueError(quote(_NOT_AN_OBJECT.sub("must be an object", str(error)))) from None
        except msgspec.DecodeError as error:
            raise ValueError(f"not a valid Avro schema: {quote(error)}") from None
        except RecursionError:
            raise ValueError("the schema is nested too deeply") from None
        # fastavro and the compilers raise these for malformed schemas.
        except KeyError as error:
            raise ValueError(f"not a valid Avro schema: {quote(error)} is missing or unknown") from None
        except (TypeError, AttributeError, ArithmeticError):
            # Their texts are in terms of Python.
            raise ValueError("not a valid Avro schema: a member has a value of another type") from None
        length = len(text) + sum(map(len, references))
        self.memory = memory + _CHARACTER_MEMORY * length
        self.record_name: str | None = None
        if isinstance(schema, dict) and schema["type"] in ("record", "error"):
            self.record_name = schema["name"]

    def encode(self, data: object, *, on_loop: bool = False) -> bytes:
        """Return the binary encoding of JSON data. Raises InvalidRequest if the data does not match the schema."""
        out = bytearray()
        try:
            self._encode(data, out)
        except AvroMismatch as error:
            raise InvalidRequest(f"Bad Request: {quote(error)}") from None
        except RecursionError:
            raise InvalidRequest("Bad Request: the data is nested too deeply") from None
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"Bad Request: the data can't be encoded: {quote(error)}") from None
        return bytes(out)

    def budget(self, size: int) -> DecodingBudget:
        """See the port."""
        return DecodingBudget(size)

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """Return the JSON encoding of a payload. Raises ValueError if it does not match the schema, and
        BudgetExceeded."""
        reader = AvroReader(payload, budget or self.budget(len(payload)))
        try:
            return self._decode(reader)
        except RecursionError:
            raise ValueError("the data is nested too deeply") from None


def _check_size(schemas: Sequence[Any]) -> int:
    """Return the estimated memory (bytes) of the schemas' parts and names.

    Raises ValueError for schemas that take too long or too much memory to compile: fastavro cannot be interrupted.
    """
    parts = named = longest = 0
    waiting = list(schemas)
    others: list[Any] = []
    while waiting:
        part = waiting.pop()
        parts += 1
        if isinstance(part, dict):
            for mark in _PARSED_MARKS:
                part.pop(mark, None)
            named += part.get("type") in _NAMED
            longest = max(longest, _longest_name(part))
            if part.get("type") == "enum" and not isinstance(part.get("symbols"), list):
                raise ValueError("the symbols of an enum must be an array")
            for member, value in part.items():
                (others if member in _NOT_COMPILED else waiting).append(value)
        elif isinstance(part, list):
            waiting += part
    if longest > _MAX_NAME:
        raise ValueError(f"a name or namespace is longer than {_MAX_NAME} characters")
    # Each full name repeats its namespace.
    if parts > _MAX_PARTS or parts * longest > _MAX_NAMES:
        raise ValueError("the schema has too many types, fields and symbols, or their names are too long")
    values = _count(others)
    if values > _MAX_VALUES:
        raise ValueError(f"the defaults, documentation and aliases have more than {_MAX_VALUES} values")
    return _PART_MEMORY * parts + 2 * longest * named + _VALUE_MEMORY * values


def _longest_name(part: dict[str, Any]) -> int:
    """Return the length of the longest name of a type or field. Raises ValueError for names that are no strings."""
    names = [(member, part[member]) for member in ("name", "namespace") if part.get(member) is not None]
    for member, name in names:
        if not isinstance(name, str) and "type" in part:
            raise ValueError(f"the {member} of a type or field must be a string")
    return max((len(name) for _, name in names if isinstance(name, str)), default=0)


def _count(values: list[Any]) -> int:
    """Return the number of values with those in them; stops above the limit."""
    count = 0
    waiting: list[Any] = [values]
    while waiting and count <= _MAX_VALUES:
        value = waiting.pop()
        count += len(value)
        if count <= _MAX_VALUES:
            members = value.values() if isinstance(value, dict) else value
            waiting += [member for member in members if isinstance(member, dict | list)]
    return count


def _read(text: str) -> Any:
    # A primitive type may be written without quotes.
    return text if text in _PRIMITIVES else _decode_json(text)
