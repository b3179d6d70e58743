"""Decodes Avro's binary encoding to its JSON encoding (Avro 1.12 specification).

fastavro's reader returns native values, which lose the branch of a union, and it limits neither the depth nor the
number of values that a few bytes can expand to. This decoder keeps the branches, and charges a budget for each value
and each repeated name.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from kafka_facade.core.records.decoding_budget import CONTAINER_WEIGHT, VALUE_WEIGHT, BudgetExceeded, DecodingBudget
from kafka_facade.schemas.avro_encoding import branch_name

# Two control characters, or so many others, are about the weight of a value.
_CHARGED_TEXT: Final = 2


class AvroReader:
    """A payload and the read position. Every method raises ValueError if the payload is truncated."""

    __slots__ = ("budget", "data", "position")

    def __init__(self, data: bytes, budget: DecodingBudget) -> None:
        self.data = data
        self.position = 0
        self.budget = budget

    def long(self) -> int:
        """Read a long; lengths, counts and indexes are longs too."""
        data, position = self.data, self.position
        shift = result = 0
        try:
            while True:
                byte = data[position]
                position += 1
                result |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 63:
                    raise ValueError("a number is too long")
        except IndexError:
            raise ValueError("the data is truncated") from None
        # The tenth byte can hold more than the 64th bit.
        if result >> 64:
            raise ValueError("a number is larger than a long")
        self.position = position
        return (result >> 1) ^ -(result & 1)

    def integer(self) -> int:
        """Read an int of 32 bits."""
        number = self.long()
        if not -(2**31) <= number < 2**31:
            raise ValueError("a number is larger than an int")
        return number

    def octets(self, size: int) -> bytes:
        """Read ``size`` bytes."""
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise ValueError("the data is truncated")
        found = self.data[self.position : end]
        self.position = end
        return found

    def text(self, size: int, encoding: str = "utf-8") -> str:
        """Read a text of ``size`` bytes."""
        if size > self.budget.left:
            raise BudgetExceeded
        text = self.octets(size).decode(encoding)
        # Items and fields are charged for so much.
        if size > _CHARGED_TEXT:
            self.budget.spend_text(text)
        return text

    def blocks(self) -> int:
        """Read the number of items in the next block of an array or map; 0 at its end."""
        count = self.long()
        if count < 0:
            count = -count
            self.long()
        self.budget.spend(count * VALUE_WEIGHT)
        return count


_encode_json = msgspec.json.Encoder().encode

Decoder = Callable[[AvroReader], Any]


def compile_decoder(schema: Any, named: Mapping[str, Any]) -> Decoder:
    """Return the decoder of a parsed schema. ``named`` has the named types by full name."""
    return _Compiler(named).decoder(schema)


class _Compiler:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._compiled: dict[str, Decoder] = {}

    def decoder(self, schema: Any) -> Decoder:
        if isinstance(schema, list):
            return self._union(schema)
        type_ = schema if isinstance(schema, str) else schema["type"]
        if isinstance(type_, str) and type_ in _PRIMITIVES:
            return _PRIMITIVES[type_]
        match type_:
            case "array":
                return _array(self.decoder(schema["items"]))
            case "map":
                return _map(self.decoder(schema["values"]))
            case "record" | "error" | "enum" | "fixed":
                return self._of_name(schema["name"])
            case str():
                return self._of_name(type_)
        return self.decoder(type_)

    def _of_name(self, name: str) -> Decoder:
        if name in self._compiled:
            return self._compiled[name]

        # A type may be recursive: look it up by name while it is being compiled.
        def later(reader: AvroReader) -> Any:
            return self._compiled[name](reader)

        self._compiled[name] = later
        schema = self._named[name]
        match schema["type"]:
            case "enum":
                compiled = _enum(schema["symbols"])
            case "fixed":
                compiled = _fixed(schema["size"])
            case _:
                compiled = self._record(schema["fields"])
        self._compiled[name] = compiled
        return compiled

    def _record(self, fields: list[Any]) -> Decoder:
        parts = [(field["name"], self.decoder(field["type"])) for field in fields]
        weight = CONTAINER_WEIGHT + sum(VALUE_WEIGHT + _weight(name) for name, _ in parts)

        def decode(reader: AvroReader) -> Any:
            reader.budget.spend(weight)
            return {name: decode_field(reader) for name, decode_field in parts}

        return decode

    def _union(self, branches: list[Any]) -> Decoder:
        decoders = [(branch_name(branch), self.decoder(branch)) for branch in branches]
        weights = [CONTAINER_WEIGHT + _weight(name) for name, _ in decoders]

        def decode(reader: AvroReader) -> Any:
            index = reader.long()
            if not 0 <= index < len(decoders):
                raise ValueError("a union has no branch with this index")
            name, decode_branch = decoders[index]
            if name == "null":
                return None
            reader.budget.spend(weights[index])
            return {name: decode_branch(reader)}

        return decode


def _weight(text: str) -> int:
    """Return the length of a text in JSON."""
    return len(_encode_json(text))


def _null(reader: AvroReader) -> None:
    return None


def _boolean(reader: AvroReader) -> bool:
    return reader.octets(1) != b"\0"


def _real(format: str) -> Decoder:
    unpack = struct.Struct(format).unpack
    size = struct.calcsize(format)

    def decode(reader: AvroReader) -> Any:
        [number] = unpack(reader.octets(size))
        if math.isfinite(number):
            # Print the shortest text of the float, not of the double that Python holds.
            return number if size == 8 else _shortest(number)
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"

    return decode


def _shortest(number: float) -> float:
    pack = struct.Struct("<f").pack
    for digits in (6, 7, 8):
        shorter = float(f"{number:.{digits}g}")
        if pack(shorter) == pack(number):
            return shorter
    return number


def _string(reader: AvroReader) -> str:
    return reader.text(reader.long())


def _bytes(reader: AvroReader) -> str:
    return reader.text(reader.long(), "latin-1")


def _fixed(size: int) -> Decoder:
    return lambda reader: reader.text(size, "latin-1")


def _enum(symbols: list[str]) -> Decoder:
    weights = [_weight(symbol) for symbol in symbols]

    def decode(reader: AvroReader) -> str:
        index = reader.long()
        if not 0 <= index < len(symbols):
            raise ValueError("an enum has no symbol with this index")
        reader.budget.spend(weights[index])
        return symbols[index]

    return decode


def _array(decode_item: Decoder) -> Decoder:
    def decode(reader: AvroReader) -> list[Any]:
        reader.budget.spend(CONTAINER_WEIGHT)
        found: list[Any] = []
        while count := reader.blocks():
            for _ in range(count):
                found.append(decode_item(reader))  # noqa: PERF401  several blocks append to one list
        return found

    return decode


def _map(decode_value: Decoder) -> Decoder:
    def decode(reader: AvroReader) -> dict[str, Any]:
        reader.budget.spend(CONTAINER_WEIGHT)
        found: dict[str, Any] = {}
        while count := reader.blocks():
            for _ in range(count):
                key = _string(reader)
                found[key] = decode_value(reader)
        return found

    return decode


_PRIMITIVES: Final[Mapping[str, Decoder]] = {
    "null": _null,
    "boolean": _boolean,
    "int": AvroReader.integer,
    "long": AvroReader.long,
    "float": _real("<f"),
    "double": _real("<d"),
    "string": _string,
    "bytes": _bytes,
}
