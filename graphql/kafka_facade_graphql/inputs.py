"""Input types derived from the request types of the core."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_origin, get_type_hints

import strawberry
from strawberry.tools import create_type
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from kafka_facade.core.request import Int64, is_required, without_none
from kafka_facade_graphql.scalars import BigInt

_CLUSTER: Final = "cluster_id"
# Any: this is made into types at run time.
_list: Any = list

_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Input:
    """An input type, and the function that converts its values to the core's type."""

    type: type[Any]
    read: _Convert


@dataclass(frozen=True, slots=True)
class Given:
    """A field of an input, if more than its description differs from the core's field.

    ``name`` is its name in snake case, ``of`` the input type of an object or of each object in a list, and ``kind`` its
    type. ``read`` converts a value; it is the one of ``of`` unless given.
    """

    description: str
    name: str | None = None
    of: Input | None = None
    kind: Any = None
    read: _Convert | None = None


Fields = dict[str, str | Given]
"""Descriptions of fields, or all that differs, by the core's names."""

COMMON: Final[Fields] = {_CLUSTER: "The cluster's id in Kafka.", "topic_name": "The topic's name."}
"""The descriptions of fields that mean the same everywhere."""


def derive_input(core: type[Any], name: str, description: str, fields: Fields) -> Input:
    """Return the input type with the fields of a dataclass of the core, in their order.

    ``fields`` has the descriptions of those that are not in :data:`COMMON`. The cluster is required: a mutation names
    what it changes. Raises LookupError if a field has no description, or a description no field.
    """
    hints = get_type_hints(core, include_extras=True)
    known = {field.name: field for field in dataclasses.fields(core)}
    described = {**COMMON, **fields}
    if wrong := (known.keys() - described.keys()) | (fields.keys() - known.keys()):
        raise LookupError(f"{name}: {', '.join(sorted(wrong))} must be a field with a description")
    made = []
    parts: list[tuple[str, str, _Convert | None]] = []
    for field in known.values():
        found = described[field.name]
        given = Given(found) if isinstance(found, str) else found
        kind, convert = _kind(given, field.name, hints[field.name])
        shown = given.name or field.name
        made.append(_field(shown, kind, given.description, field, hints[field.name]))
        parts.append((field.name, shown, convert))

    def read(value: Any) -> Any:
        values = {}
        for own, shown, convert in parts:
            found = getattr(value, shown)
            values[own] = found if convert is None or found is None else convert(found)
        return core(**values)

    return Input(create_type(name, made, is_input=True, description=description), read)


def _kind(given: Given, name: str, hint: Any) -> tuple[Any, _Convert | None]:
    """Return the type of a field without null, and the function that converts its values."""
    if given.of is not None:
        of = given.of
        if get_origin(without_none(hint)[0]) is not list:
            return of.type, given.read or of.read
        return _list[of.type], given.read or (lambda entries: [of.read(entry) for entry in entries])
    if given.kind is not None:
        return given.kind, given.read
    if name == _CLUSTER:
        return strawberry.ID, given.read
    kind = without_none(hint)[0]
    return BigInt if kind == Int64 else kind, given.read


def _field(name: str, kind: Any, description: str, core: dataclasses.Field[Any], hint: Any) -> StrawberryField:
    default: dict[str, Any] = {}
    optional = without_none(hint)[1] and core.name != _CLUSTER
    if get_origin(kind) is list and not optional and not is_required(core, hint):
        default = {"default_factory": list}
    elif optional or not (is_required(core, hint) or core.name == _CLUSTER):
        default = {"default": None if core.default is dataclasses.MISSING else core.default}
    made: StrawberryField = strawberry.field(
        name=to_camel_case(name), graphql_type=kind | None if optional else kind, description=description, **default
    )
    made.python_name = name
    return made
