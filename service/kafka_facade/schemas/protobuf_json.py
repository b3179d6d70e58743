"""Rejects JSON values that Protobuf's Python parser would change, such as the number ``1_0`` or invalid Base64.

The parser accepts Python's number syntax, turns too large numbers into infinity and booleans into numbers, skips
characters that are not Base64, and rounds times. Of a field or map key that is given twice under different names, it
keeps only the last value. A value must be stored unchanged or rejected. Values of another type are rejected too, since
the parser's errors are in terms of Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from kafka_facade.core.quoting import quote, quote_json

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_SYMBOL: Final = re.compile(r"[A-Za-z_]")
_NAMED: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_BASE64: Final = re.compile(r"([A-Za-z0-9+/_-]*)(={0,2})")
# RFC 3339, except that the parser checks the date and takes numbers without zeros in front.
_TIMESTAMP: Final = re.compile(r"[-0-9]+T[:0-9]+(?:\.[0-9]{1,9})?(?:Z|[-+](?:[01][0-9]|2[0-3]):[0-5][0-9])")
_DURATION: Final = re.compile(r"[-+]?[0-9]+(?:\.[0-9]{1,9})?s")
# Comma-separated paths of names in lower camel case, which are ASCII.
_PATHS: Final = re.compile(r"(?:[!-+\-/-^`-~]+(?:[,.](?=[^,.])|\Z))*")
# Smaller values are rounded to a finite number.
_LIMITS: Final = {FieldDescriptor.TYPE_FLOAT: float.fromhex("0x1.ffffffp+127"), FieldDescriptor.TYPE_DOUBLE: math.inf}

# As many digits as Python converts.
_MOST_DIGITS: Final = 4300
_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}

_TEXTS: Final[dict[str, tuple[str, re.Pattern[str]]]] = {
    "google.protobuf.Timestamp": ("a time such as 2026-01-01T00:00:00.5Z", _TIMESTAMP),
    "google.protobuf.Duration": ("a duration such as 1.5s, with at most 9 digits after the point", _DURATION),
    "google.protobuf.FieldMask": ("comma-separated paths of fields such as a.fooBar", _PATHS),
}
# Their JSON is not made of their fields, and the parser reads it correctly if it has the type.
_OTHERS: Final[dict[str, tuple[str, type]]] = {
    "google.protobuf.Struct": ("an object", dict),
    "google.protobuf.ListValue": ("an array", list),
    "google.protobuf.Value": ("a value", object),
}
_VALUE: Final = "google.protobuf.Value"
_ANY: Final = "google.protobuf.Any"
_WRAPPERS: Final = "google/protobuf/wrappers.proto"

# Path of a value: the path of its parent, and its name or index.
_Path = tuple[Any, object] | None
_Task = tuple[Any, Descriptor, _Path]


class ValueMismatch(ValueError):
    """A value does not match its field; the text has the field's path."""


class StrictValues:
    """Checks JSON against the message descriptors."""

    def __init__(self, pool: DescriptorPool) -> None:
        """Takes the pool of the types that an Any may hold."""
        self._pool = pool
        self._fields: dict[str, dict[str, FieldDescriptor]] = {}

    def check(self, data: Any, descriptor: Descriptor) -> None:
        """Raise ValueMismatch for a value that has another type or would be changed. Takes linear time."""
        waiting: list[_Task] = [(data, descriptor, None)]
        while waiting:
            value, of, path = waiting.pop()
            if of.file.name == _WRAPPERS:
                _check_scalar(of.fields_by_name["value"], value, path)
            elif of.full_name in _TEXTS:
                expected, pattern = _TEXTS[of.full_name]
                if not isinstance(value, str) or not pattern.fullmatch(value):
                    raise _refusal(expected, value, path)
            elif of.full_name == _ANY:
                if value != {}:
                    waiting.append(self._any(value, path))
            elif of.full_name in _OTHERS:
                expected, type_ = _OTHERS[of.full_name]
                if not isinstance(value, type_):
                    raise _refusal(expected, value, path)
            elif not isinstance(value, dict):
                raise _refusal("an object", value, path)
            else:
                self._check_message(value, of, path, waiting)

    def _any(self, value: Any, path: _Path) -> _Task:
        """Return the content of an Any."""
        if not isinstance(value, dict) or not isinstance(value.get("@type"), str):
            raise _refusal("an object with the member @type", value, path)
        try:
            of = self._pool.FindMessageTypeByName(value["@type"].rpartition("/")[2])
        except KeyError:
            raise _refusal("a message type that the schema knows", value["@type"], (path, "@type")) from None
        if of.file.name == _WRAPPERS or of.full_name in _TEXTS or of.full_name in _OTHERS or of.full_name == _ANY:
            if "value" not in value:
                raise _refusal("an object with the member value", value, path)
            for name in value.keys() - {"@type", "value"}:
                raise ValueMismatch(f"{_where((path, name))}: the message has no such field")
            return value["value"], of, (path, "value")
        return {name: member for name, member in value.items() if name != "@type"}, of, path

    def _check_message(self, data: dict[str, Any], of: Descriptor, path: _Path, waiting: list[_Task]) -> None:
        fields = self._fields_of(of)
        names: dict[str, str] = {}
        for name, value in data.items():
            here = (path, name)
            field = fields.get(name) or self._extension(name, here)
            # Even with null: it would clear the field.
            if (other := names.setdefault(field.full_name, name)) != name:
                raise ValueMismatch(f"{_where(here)}: the same field is also given as {quote(other)}")
            if value is None:
                continue
            message = field.message_type
            if message is not None and message.GetOptions().map_entry:
                _check_map(message, value, here, waiting)
            elif field.is_repeated:
                if not isinstance(value, list):
                    raise _refusal("an array", value, here)
                _check_items(field, enumerate(value), here, waiting)
            elif message is not None:
                waiting.append((value, message, here))
            else:
                _check_scalar(field, value, here)

    def _fields_of(self, of: Descriptor) -> dict[str, FieldDescriptor]:
        """Return the fields by their JSON and Protobuf names."""
        found = self._fields.get(of.full_name)
        if found is None:
            found = {field.name: field for field in of.fields} | {field.json_name: field for field in of.fields}
            self._fields[of.full_name] = found
        return found

    def _extension(self, name: str, path: _Path) -> FieldDescriptor:
        """Return the extension of a name in brackets, or of its message, like the parser. Raises ValueMismatch."""
        identifier = name[1:-1]
        for known in (identifier, identifier.rpartition(".")[0]):
            with suppress(KeyError):
                return self._pool.FindExtensionByName(known)
        raise ValueMismatch(f"{_where(path)}: the message has no such field")


def _check_map(entry: Descriptor, value: Any, path: _Path, waiting: list[_Task]) -> None:
    key, field = entry.fields_by_name["key"], entry.fields_by_name["value"]
    if not isinstance(value, dict):
        raise _refusal("an object", value, path)
    # The parser checks keys that are strings or booleans.
    if key.type in _INTEGERS:
        numbers: dict[int, str] = {}
        for index in value:
            _check_scalar(key, index, path)
            if (other := numbers.setdefault(_whole(index), index)) != index:
                raise ValueMismatch(f"{_where((path, index))}: the same key is also given as {quote(other)}")
    _check_items(field, value.items(), path, waiting)


def _check_items(
    field: FieldDescriptor, items: Iterable[tuple[object, Any]], path: _Path, waiting: list[_Task]
) -> None:
    message = field.message_type
    if message is None:
        for index, item in items:
            _check_scalar(field, item, (path, index))
        return
    for index, item in items:
        if item is None and message.full_name != _VALUE:
            raise _refusal("a value", item, (path, index))
        waiting.append((item, message, (path, index)))


def _check_scalar(field: FieldDescriptor, value: Any, path: _Path) -> None:
    if field.type in _CHECKS:
        expected, fits = _CHECKS[field.type]
        if not fits(field, value):
            raise _refusal(expected, value, path)


def _is_bytes(field: FieldDescriptor, value: Any) -> bool:
    found = _BASE64.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return False
    digits, padding = len(found[1]), len(found[2])
    return digits % 4 != 1 and (not padding or (digits + padding) % 4 == 0)


def _is_real(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        if value in _NAMED:
            return True
        if not _NUMBER.fullmatch(value):
            return False
    elif not isinstance(value, int | float):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    return abs(number) < _LIMITS[field.type]


def _is_integer(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and _is_in_range(field, int(value))
    if not isinstance(value, str):
        return isinstance(value, int) and not isinstance(value, bool) and _is_in_range(field, value)
    if len(value) <= _MOST_DIGITS and _INTEGER.fullmatch(value):
        return _is_in_range(field, int(value))
    if not _NUMBER.fullmatch(value):
        return False
    # The parser reads it as a float, which loses digits.
    try:
        number = int(float(value))
        return Decimal(value) == number and _is_in_range(field, number)
    except ArithmeticError:
        return False


def _whole(text: str) -> int:
    """Return the number that a valid integer in a string stands for, like the parser."""
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def _is_symbol(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, str):
        return bool(_SYMBOL.match(value) or _INTEGER.fullmatch(value))
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


def _is_boolean(field: FieldDescriptor, value: Any) -> bool:
    return isinstance(value, bool)


def _is_string(field: FieldDescriptor, value: Any) -> bool:
    return isinstance(value, str)


def _is_in_range(field: FieldDescriptor, number: int) -> bool:
    least, most = _RANGES[field.cpp_type]
    return least <= number <= most


def _refusal(expected: str, value: Any, path: _Path) -> ValueMismatch:
    """Return the error for a value, with the field's path from the message."""
    return ValueMismatch(f"{_where(path) or 'the value'}: expected {expected}, not {_shown(value)}")


def _shown(value: Any) -> str:
    return "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else quote_json(value)


def _where(path: _Path) -> str:
    parts: list[str] = []
    while path:
        path, name = path
        parts.append(f"[{name}]" if isinstance(name, int) else f".{name}")
    return quote("".join(reversed(parts)).removeprefix("."))


_INTEGERS: Final = frozenset(
    {
        *(FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
        *(FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
        *(FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32),
        *(FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64),
    }
)
_Fits = Callable[[FieldDescriptor, Any], bool]
_CHECKS: Final[dict[int, tuple[str, _Fits]]] = {
    FieldDescriptor.TYPE_BOOL: ("true or false", _is_boolean),
    FieldDescriptor.TYPE_STRING: ("a string", _is_string),
    FieldDescriptor.TYPE_BYTES: ("Base64", _is_bytes),
    FieldDescriptor.TYPE_DOUBLE: ("a number that a double can hold", _is_real),
    FieldDescriptor.TYPE_FLOAT: ("a number that a float can hold", _is_real),
    FieldDescriptor.TYPE_ENUM: ("a symbol of the enum or its number", _is_symbol),
    **dict.fromkeys(
        _INTEGERS,
        ("an integer that the field can hold", _is_integer),
    ),
}
