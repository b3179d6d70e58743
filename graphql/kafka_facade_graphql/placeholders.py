"""Placeholder fields, which return an error, for operations of the catalogue that the graph does not implement."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import strawberry
from strawberry.schema.name_converter import NameConverter
from strawberry.tools import create_type
from strawberry.types.base import StrawberryContainer, StrawberryObjectDefinition, get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.types.nodes import SelectedField, Selection

from kafka_facade.core.catalogue import Operation
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.scalars import JSON

_NAMES = NameConverter()
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(slots=True)
class _Missing:
    """A missing field: its operation, its arguments, and the fields below it."""

    operation: Operation | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    below: dict[str, _Missing] = field(default_factory=dict)


Added = Mapping[str, Sequence[StrawberryField]]
"""Fields to add to types, by the names of these."""


def placeholders(
    roots: Mapping[str, type[Any]], operations: Sequence[Operation], links: Added
) -> dict[str, list[StrawberryField]]:
    """Return the fields to add to each GraphQL type besides ``links``.

    ``roots`` are the query, mutation and subscription types.
    """
    missing: dict[str, dict[str, _Missing]] = {}
    for operation in operations:
        path = operation.graphql_field.split(".")
        definition = get_object_definition(roots[operation.graphql_type], strict=True)
        while path and (found := find(definition, path[0], links)) is not None:
            del path[0]
            definition = object_type(found) or definition
        if path:
            arguments = {"input": JSON} if operation.graphql_type == "mutation" else _arguments(operation, operations)
            _plant(missing.setdefault(definition.name, {}), path, operation, arguments)
    return {owner: [_field(entry, (name,)) for name, entry in new.items()] for owner, new in missing.items()}


def find(definition: StrawberryObjectDefinition, name: str, links: Added) -> StrawberryField | None:
    """Return the field with a GraphQL name, also looking in the nodes of a connection."""
    for entry in (*definition.fields, *links.get(definition.name, ())):
        if _NAMES.get_graphql_name(entry) == name:
            return entry
    nodes = next((entry for entry in definition.fields if entry.name == "nodes"), None)
    inner = None if nodes is None else object_type(nodes)
    return None if inner is None else find(inner, name, links)


def object_type(entry: StrawberryField) -> StrawberryObjectDefinition | None:
    """Return the object type of a field without list and null wrappers; None for a scalar."""
    found: Any = entry.resolve_type()
    while isinstance(found, StrawberryContainer | LazyType):
        found = found.of_type if isinstance(found, StrawberryContainer) else found.resolve_type()
    return get_object_definition(found)


def _arguments(operation: Operation, operations: Iterable[Operation]) -> dict[str, Any]:
    """Return arguments for the path parameters that the parent field's path does not have."""
    above = operation.graphql_field.rpartition(".")[0]
    known = {name for other in operations if other.graphql_field == above for name in _PARAMETER.findall(other.path)}
    named = [name for name in _PARAMETER.findall(operation.path) if name not in known]
    return {name: int if name in ("partition_id", "broker_id") else str for name in named}


def _plant(tree: dict[str, _Missing], path: list[str], operation: Operation, arguments: dict[str, Any]) -> None:
    entry = tree.setdefault(path[0], _Missing())
    if len(path) > 1:
        _plant(entry.below, path[1:], operation, arguments)
    elif entry.operation is None:
        entry.operation = operation
        entry.arguments = arguments


def _field(entry: _Missing, path: tuple[str, ...]) -> StrawberryField:
    """Create a field that fails with its operation's error; if it has subfields, the selected ones fail instead."""
    below = {name: _field(deeper, (*path, name)) for name, deeper in entry.below.items()}
    operation = entry.operation
    if operation is None:
        raise LookupError(f"the catalogue has operations below {'.'.join(path)}, but none of it")
    identifier = operation.identifier
    shown: Any = JSON
    if below:
        type_name = "".join(part[0].upper() + part[1:] for part in path)
        shown = create_type(type_name, list(below.values()), description=f"Not implemented: {identifier}.")

    async def resolve(self: Any, info: Info, **_arguments: Any) -> Any:
        if below.keys().isdisjoint(
            _names(selection for asked in info.selected_fields for selection in asked.selections)
        ):
            # Only unimplemented operations lack a field, so this raises.
            info.context.loaders.admit(identifier)
        return shown() if below else None

    parameters = [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info),
    ]
    for name, kind in entry.arguments.items():
        annotation: Any = Annotated[kind | None, strawberry.argument(description="Ignored.")]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    vars(resolve)["__signature__"] = inspect.Signature(parameters)
    resolve.__name__ = path[-1]
    made: StrawberryField = strawberry.field(
        resolver=resolve, name=path[-1], graphql_type=shown | None, description=f"Not implemented: {identifier}."
    )
    return made


def _names(selections: Iterable[Selection]) -> Iterator[str]:
    """Yield the names of selected fields, including those in fragments."""
    for selection in selections:
        if isinstance(selection, SelectedField):
            yield selection.name
        else:
            yield from _names(selection.selections)
