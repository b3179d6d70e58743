"""Error messages for invalid bodies, in terms of JSON and, where documented, with the reference's wording."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from kafka_facade.core.errors import FacadeError, MalformedBody, UnprocessableEntity
from kafka_facade.core.quoting import quote, quote_json

_AT: Final = " - at "
_WHERE: Final = re.compile(r"(`key` in )?`\$([^`]*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[([0-9]+|\.\.\.)\]")
# Do not quote the invalid value of a longer body, because finding it requires parsing the body again.
_LONGEST: Final = 1024 * 1024
# The reference's names of enum types that have other names here.
_ENUMS: Final = {"Format": "EmbeddedFormat"}
_INT32: Final = 2**31 - 1


def _verbatim(literal: str) -> msgspec.Raw:
    return msgspec.Raw(literal.encode())


_type_info = cache(inspect.type_info)
_decode = msgspec.json.Decoder(float_hook=_verbatim).decode


def explained(message: str, type_: object, body: bytes) -> FacadeError:
    """Convert an error message of msgspec; the error's field is the path of the invalid value."""
    what, _, where = message.rpartition(_AT)
    match = _WHERE.fullmatch(where)
    if match is None:
        what, key, path = message, None, ""
    else:
        key, path = match.groups()
    field = path.removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(what):
        name = quote(unknown[1])
        return UnprocessableEntity(f"Unrecognized field: {name}", field=f"{field}.{name}".removeprefix("."))
    if missing := _MISSING.fullmatch(what):
        return MalformedBody(f"Missing required field: {missing[1]}", field=f"{field}.{missing[1]}".removeprefix("."))
    steps = [name or place for name, place in _STEP.findall(path)]
    expected, reason = _named(_at(_type_info(type_), steps, key is not None))
    found = "a member name" if key is not None else _found(body, steps)
    place = f" (at {quote(field)})" if field else ""
    text = f"Cannot deserialize value of type `{expected}` from {found}: {reason}{place}"
    return MalformedBody(text, field=field) if field else MalformedBody(text)


def mismatch(value: object, expected: str, field: str) -> MalformedBody:
    """Return the error for a value that was decoded without checking its type."""
    return MalformedBody(
        f"Cannot deserialize value of type `{expected}` from {_shown(value)}: not a valid `{expected}` value"
        f" (at {field})",
        field=field,
    )


def _at(found: inspect.Type, steps: list[str], key: bool) -> inspect.Type:
    """Return the type at a path."""
    for step in steps:
        found = _alternatives(found)[0]
        if isinstance(found, inspect.StructType):
            found = next((field.type for field in found.fields if field.encode_name == step), inspect.AnyType())
        elif isinstance(found, inspect.ListType):
            found = found.item_type
        elif isinstance(found, inspect.DictType):
            found = found.value_type
    if key and isinstance(whole := _alternatives(found)[0], inspect.DictType):
        return whole.key_type
    return found


def _alternatives(found: inspect.Type) -> list[inspect.Type]:
    """Return the types that a value may have, without null."""
    types = found.types if isinstance(found, inspect.UnionType) else (found,)
    return [kind for kind in types if not isinstance(kind, inspect.NoneType)] or [inspect.AnyType()]


def _named(found: inspect.Type) -> tuple[str, str]:
    """Return the name of a type, and the reason why a value does not match it."""
    kinds = _alternatives(found)
    names = sorted({_name(kind) for kind in kinds})
    if "Number" in names and "Long" in names:
        names.remove("Long")
    if len(kinds) == 1 and isinstance(kinds[0], inspect.EnumType):
        values = ", ".join(str(member.value) for member in kinds[0].cls)
        return names[0], f"not one of the values accepted for Enum class: [{values}]"
    if len(kinds) == 1 and isinstance(kinds[0], inspect.BytesType):
        return names[0], "not valid base64"
    name = " or ".join(names)
    return name, f"not a valid `{name}` value"


def _name(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return "Integer" if kind.le == _INT32 else "Long"
    if isinstance(kind, inspect.EnumType):
        return _ENUMS.get(kind.cls.__name__, kind.cls.__name__)
    if isinstance(kind, inspect.StructType | inspect.DictType):
        return "Object"
    return {
        inspect.StrType: "String",
        inspect.BytesType: "String",
        inspect.BoolType: "Boolean",
        inspect.FloatType: "Number",
        inspect.ListType: "Array",
    }.get(type(kind), "Value")


def _found(body: bytes, steps: list[str]) -> str:
    """Return the value in the body at a path."""
    if len(body) > _LONGEST:
        return "another value"
    try:
        value: Any = _decode(body)
        for step in steps:
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError, RecursionError):
        return "another value"
    return _shown(value)


def _shown(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"Boolean value {quote_json(value)}"
        case str():
            return f"String {quote_json(value)}"
        case dict():
            return "Object value"
        case list():
            return "Array value"
        case msgspec.Raw():
            return f"Number {quote(bytes(value).decode())}"
        case _:
            return f"Number {quote(value)}"
