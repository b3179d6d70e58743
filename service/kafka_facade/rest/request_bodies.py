"""The JSON bodies of v3 requests, derived from the request types of the core.

A body has the fields of the request that are not in the path, under the same names. A field with a default may be left
out or null. Nested dataclasses are objects. The exceptions are below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from kafka_facade.core import request as core
from kafka_facade.core.request import is_required, without_none
from kafka_facade.rest.bodies import BodyDecoder, Int32, Int64, Setting, StrictBody, setting_text

# Optional texts that may also be numbers or booleans: the values of configs.
_SETTINGS: Final = frozenset({"value"})

# Any: these are made into types at run time.
_list: Any = list
_dict: Any = dict

_Body = TypeVar("_Body")
_Convert = Callable[[Any], Any]
_Values = Callable[[Any], dict[str, Any]]


class RequestBody:
    """Reads the fields of a request from a body."""

    def __init__(self, request: type[Any], in_path: Collection[str]) -> None:
        type_, self._values = _derived(request, in_path)
        self.fields = type_.__struct_fields__
        """The fields of the request that the body has."""
        self._decoder = BodyDecoder(type_)

    def read(self, body: bytes) -> dict[str, Any]:
        """Return the values of the fields. Raises InvalidPayload, MalformedBody and UnprocessableEntity."""
        return self._values(self._decoder.required(body))


def body_type(target: type[Any], in_path: Collection[str] = ()) -> type[msgspec.Struct]:
    """Return the type of the JSON object with the fields of a dataclass."""
    return _derived(target, in_path)[0]


def converter(target: type[_Body]) -> Callable[[Any], _Body]:
    """Return a function that converts an object of :func:`body_type` to the dataclass."""
    values = _derived(target, ())[1]
    return lambda given: target(**values(given))


def _derived(target: type[Any], in_path: Collection[str]) -> tuple[type[msgspec.Struct], _Values]:
    hints = get_type_hints(target, include_extras=True)
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    parts: list[tuple[str, _Convert | None, bool]] = []
    for field in dataclasses.fields(target):
        if field.name in in_path:
            continue
        kind, optional = without_none(hints[field.name])
        is_setting = optional and kind is str and field.name in _SETTINGS
        type_, convert = (Setting, setting_text) if is_setting else _member(kind)
        members.append(
            (field.name, type_) if is_required(field, hints[field.name]) else (field.name, type_ | None, None)
        )
        # A field without a default that is null in the body is None in the request.
        parts.append((field.name, convert, field.default is field.default_factory is dataclasses.MISSING))

    def values(given: Any) -> dict[str, Any]:
        found = {}
        for name, convert, always in parts:
            value = getattr(given, name)
            if value is not None:
                found[name] = value if convert is None else convert(value)
            elif always:
                found[name] = None
        return found

    type_ = msgspec.defstruct(target.__name__, members, bases=(StrictBody,), kw_only=True)
    return type_, values


def _each(convert: _Convert, given: list[Any]) -> list[Any]:
    return list(map(convert, given))


def _member(kind: Any) -> tuple[Any, _Convert | None]:
    """Return the type of a member for a type of the core, and the function that converts its values."""
    if kind is int:
        return Int32, None
    if kind == core.Int64:
        return Int64, None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return body_type(kind), converter(kind)
    if get_origin(kind) is list:
        type_, convert = _member(*get_args(kind))
        return _list[type_], None if convert is None else partial(_each, convert)
    if get_origin(kind) is dict:
        (key, _), (type_, convert) = map(_member, get_args(kind))
        if convert is not None:
            raise LookupError(f"{kind} is not supported in bodies")
        return _dict[key, type_], None
    return kind, None
