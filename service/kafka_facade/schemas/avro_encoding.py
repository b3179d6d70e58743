"""Encodes Avro's JSON encoding to its binary encoding (Avro 1.12 specification, "JSON Encoding", "Binary Encoding").

Encoders are compiled once for a schema. They take decoded JSON, and raise ValueError with the path of the value if it
does not match the schema. Logical types are encoded as their underlying types: a decimal is its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

Encoder = Callable[[Any, bytearray], None]

_MISSING: Final = object()
_INTEGERS: Final = {"int": range(-(2**31), 2**31), "long": range(-(2**63), 2**63)}
_NOT_FINITE: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class AvroMismatch(ValueError):
    """A value does not match its schema; ``path`` locates it, innermost name first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def __str__(self) -> str:
        place = ".".join(reversed(self.path))
        return f"{place}: {self.args[0]}" if place else str(self.args[0])


def write_long(number: int, out: bytearray) -> None:
    """Append an int or long as a zigzag varint."""
    number = (number << 1) ^ (number >> 63)
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)


def compile_encoder(schema: Any, named: Mapping[str, Any]) -> Encoder:
    """Return the encoder of a parsed schema. ``named`` has the named types by full name."""
    return _Compiler(named).encoder(schema)


def branch_name(schema: Any) -> str:
    """Return the name of a union's branch in the JSON encoding."""
    if isinstance(schema, str):
        return schema
    return str(schema["name"] if "name" in schema else schema["type"])


class _Compiler:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._compiled: dict[str, Encoder] = {}

    def encoder(self, schema: Any) -> Encoder:
        if isinstance(schema, list):
            return self._union(schema)
        type_ = schema if isinstance(schema, str) else schema["type"]
        if isinstance(type_, str) and type_ in _PRIMITIVES:
            return _PRIMITIVES[type_]
        match type_:
            case "array":
                return _array(self.encoder(schema["items"]))
            case "map":
                return _map(self.encoder(schema["values"]))
            case "record" | "error" | "enum" | "fixed":
                return self._of_name(schema["name"])
            case str():
                return self._of_name(type_)
        return self.encoder(type_)

    def _of_name(self, name: str) -> Encoder:
        if name in self._compiled:
            return self._compiled[name]

        # A type may hold itself: while it is being compiled, its name stands for it.
        def later(value: Any, out: bytearray) -> None:
            self._compiled[name](value, out)

        self._compiled[name] = later
        schema = self._named[name]
        match schema["type"]:
            case "enum":
                compiled = _enum(name, schema["symbols"])
            case "fixed":
                if type(schema["size"]) is not int or schema["size"] < 0:
                    raise ValueError(f"the size of {name} isn't a valid number of bytes")
                compiled = _fixed(name, schema["size"])
            case _:
                compiled = self._record(name, schema["fields"])
        self._compiled[name] = compiled
        return compiled

    def _record(self, name: str, fields: list[Any]) -> Encoder:
        parts = [(field["name"], self.encoder(field["type"])) for field in fields]
        names = {field for field, _ in parts}

        def encode(value: Any, out: bytearray) -> None:
            if not isinstance(value, dict):
                raise AvroMismatch(f"expected an object for the record {name}")
            for field, encode_field in parts:
                found = value.get(field, _MISSING)
                if found is _MISSING:
                    raise AvroMismatch(f"Expected field name not found: {field}")
                try:
                    encode_field(found, out)
                except AvroMismatch as error:
                    error.path.append(field)
                    raise
            if len(value) != len(parts):
                unknown = next(field for field in value if field not in names)
                raise AvroMismatch(f"the record {name} has no field {unknown}")

        return encode

    def _union(self, branches: list[Any]) -> Encoder:
        encoders = {branch_name(branch): (index, self.encoder(branch)) for index, branch in enumerate(branches)}
        null = next((index for index, branch in enumerate(branches) if branch_name(branch) == "null"), None)
        expected = ", ".join(encoders)

        def encode(value: Any, out: bytearray) -> None:
            if value is None and null is not None:
                write_long(null, out)
                return
            if not isinstance(value, dict) or len(value) != 1:
                raise AvroMismatch(f"expected a union: null or an object with one member, whose name is of: {expected}")
            [(branch, content)] = value.items()
            if branch not in encoders or branch == "null":
                raise AvroMismatch(f"the union has no branch {branch}, only: {expected}")
            index, encode_branch = encoders[branch]
            write_long(index, out)
            encode_branch(content, out)

        return encode


def _null(value: Any, out: bytearray) -> None:
    if value is not None:
        raise AvroMismatch("expected null")


def _boolean(value: Any, out: bytearray) -> None:
    if value is not True and value is not False:
        raise AvroMismatch("expected a boolean")
    out.append(value)


def _integer(type_: str) -> Encoder:
    allowed = _INTEGERS[type_]

    def encode(value: Any, out: bytearray) -> None:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or value not in allowed:
            raise AvroMismatch(f"expected {type_}")
        write_long(value, out)

    return encode


def _real(type_: str) -> Encoder:
    pack = struct.Struct("<f" if type_ == "float" else "<d").pack

    def encode(value: Any, out: bytearray) -> None:
        is_named = type(value) is str
        if is_named:
            value = _NOT_FINITE.get(value)
        if type(value) is not float and type(value) is not int:
            raise AvroMismatch(f"expected {type_}")
        try:
            if not is_named and not isfinite(value):
                raise OverflowError
            out += pack(value)
        except (OverflowError, struct.error):
            raise AvroMismatch(f"the number doesn't fit into {type_}") from None

    return encode


def _string(value: Any, out: bytearray) -> None:
    if type(value) is not str:
        raise AvroMismatch("expected a string")
    encoded = value.encode()
    write_long(len(encoded), out)
    out += encoded


def _octets(value: Any) -> bytes:
    if type(value) is not str:
        raise AvroMismatch("expected bytes: a string of the characters U+0000 to U+00FF")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise AvroMismatch("expected bytes: a string of the characters U+0000 to U+00FF") from None


def _bytes(value: Any, out: bytearray) -> None:
    octets = _octets(value)
    write_long(len(octets), out)
    out += octets


def _fixed(name: str, size: int) -> Encoder:
    def encode(value: Any, out: bytearray) -> None:
        octets = _octets(value)
        if len(octets) != size:
            raise AvroMismatch(f"expected {size} bytes for {name}")
        out += octets

    return encode


def _enum(name: str, symbols: list[str]) -> Encoder:
    indexes = {symbol: index for index, symbol in enumerate(symbols)}

    def encode(value: Any, out: bytearray) -> None:
        index = indexes.get(value) if type(value) is str else None
        if index is None:
            raise AvroMismatch(f"expected a symbol of {name}")
        write_long(index, out)

    return encode


def _array(encode_item: Encoder) -> Encoder:
    def encode(value: Any, out: bytearray) -> None:
        if not isinstance(value, list):
            raise AvroMismatch("expected an array")
        if value:
            write_long(len(value), out)
            for index, item in enumerate(value):
                try:
                    encode_item(item, out)
                except AvroMismatch as error:
                    error.path.append(str(index))
                    raise
        out.append(0)

    return encode


def _map(encode_value: Encoder) -> Encoder:
    def encode(value: Any, out: bytearray) -> None:
        if not isinstance(value, dict):
            raise AvroMismatch("expected an object for a map")
        if value:
            write_long(len(value), out)
            for key, item in value.items():
                _string(key, out)
                try:
                    encode_value(item, out)
                except AvroMismatch as error:
                    error.path.append(key)
                    raise
        out.append(0)

    return encode


_PRIMITIVES: Final[Mapping[str, Encoder]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer("int"),
    "long": _integer("long"),
    "float": _real("float"),
    "double": _real("double"),
    "string": _string,
    "bytes": _bytes,
}
