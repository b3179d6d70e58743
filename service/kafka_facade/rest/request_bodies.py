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
from msgspec.structs import astuple

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


class RequestBody:
    """Reads the fields of a request from a body."""

    def __init__(self, request: type[Any], in_path: Collection[str]) -> None:
        derived = _Derived(request, in_path)
        self.fields = derived.names
        """The fields of the request that the body has."""
        self._values = derived.values()
        self._decoder = BodyDecoder(derived.type)

    def read(self, body: bytes) -> dict[str, Any]:
        """Return the values of the fields. Raises InvalidPayload, MalformedBody and UnprocessableEntity."""
        return dict(zip(self.fields, self._values(self._decoder.required(body)), strict=True))


def body_type(target: type[Any], in_path: Collection[str] = ()) -> type[msgspec.Struct]:
    """Return the type of the JSON object with the fields of a dataclass."""
    return _Derived(target, in_path).type


def converter(target: type[_Body]) -> Callable[[Any], _Body]:
    """Return a function that converts an object of :func:`body_type` to the dataclass."""
    kind: type[Any] = target
    if any(field.kw_only for field in dataclasses.fields(kind)):
        raise LookupError(f"{target.__name__} has fields that are given by name only")
    values = _Derived(target, ()).values()
    return lambda given: target(*values(given))


class _Derived:
    """The type of the JSON object for a dataclass, and how to read its values."""

    def __init__(self, target: type[Any], in_path: Collection[str]) -> None:
        hints = get_type_hints(target, include_extras=True)
        members: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        self._conversions: list[tuple[int, _Convert | None, Callable[[], Any]]] = []
        for field in dataclasses.fields(target):
            if field.name in in_path:
                continue
            kind, optional = without_none(hints[field.name])
            is_setting = optional and kind is str and field.name in _SETTINGS
            type_, convert = (Setting, setting_text) if is_setting else _member(kind)
            required = is_required(field, hints[field.name])
            absent = _default(field)
            if convert is not None or (not required and absent() is not None):
                self._conversions.append((len(members), convert, absent))
            members.append((field.name, type_) if required else (field.name, type_ | None, None))
        self.names = tuple(member[0] for member in members)
        self.type = msgspec.defstruct(target.__name__, members, bases=(StrictBody,), kw_only=True)

    def values(self) -> Callable[[Any], list[Any]]:
        """Return a function for the values of an object, in the order of the fields; null is the default."""
        conversions = self._conversions

        def values(given: Any) -> list[Any]:
            found = list(astuple(given))
            for place, convert, absent in conversions:
                value = found[place]
                if value is None:
                    found[place] = absent()
                elif convert is not None:
                    found[place] = convert(value)
            return found

        return values


def _default(field: dataclasses.Field[Any]) -> Callable[[], Any]:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    default = None if field.default is dataclasses.MISSING else field.default
    return lambda: default


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
