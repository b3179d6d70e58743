"""Selections compiled into plain functions, for lists of many entries.

For each field of each entry, graphql-core and Strawberry create a path and an info object and make a dozen calls. If a
selection contains only fields whose resolvers are synchronous methods without arguments, this work is the same for each
entry. It is then done once per operation, and an entry costs little more than its resolvers.

A compiled function does not report GraphQL errors. If anything about an entry is unusual, it raises, and the executor
completes the entry in the general way, with correct paths and nulls. Resolvers are then called twice, which is harmless
because they only read their object.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    Undefined,
)
from graphql.execution import Executor
from graphql.pyutils import is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

Complete = Callable[[Any, Any], Any]
"""Completes a value, given the ``info`` of its list; raises if the executor must do it."""

MOST_NESTED: Final = 100
"""Maximum length of a nested list; the executor completes longer ones in time slices."""

# Classes whose values are neither awaitable nor errors.
_PLAIN = frozenset((str, int, float, bool, bytes, datetime, dict, list))
_CONDITIONS = frozenset(("skip", "include"))


class UnusualError(Exception):
    """The executor must complete the value."""


def compile_selection(executor: Executor[Any], type_: GraphQLOutputType, selected: list[Any]) -> Complete | None:
    """Return a function that completes values of a type like the executor, or None if that is not possible.

    ``selected`` are the nodes of one field, as collected by the executor.
    """
    try:
        return _compile(executor, type_, selected)
    except (UnusualError, GraphQLError, RecursionError):
        return None


def _compile(executor: Executor[Any], type_: GraphQLOutputType, selected: list[Any]) -> Complete:
    required = isinstance(type_, GraphQLNonNull)
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    match inner:
        case GraphQLScalarType() | GraphQLEnumType():
            return _leaf(inner.coerce_output_value, required)
        case GraphQLList():
            return _list(_compile(executor, inner.of_type, selected), required)
        case GraphQLObjectType():
            return _object(executor, inner, selected, required)
        case _:
            raise UnusualError


def _leaf(coerce: Callable[[Any], Any], required: bool) -> Complete:
    def complete(value: Any, info: Any) -> Any:
        if value is None and not required:
            return None
        if value.__class__ not in _PLAIN:
            _check(value)
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise UnusualError
        return coerced

    return complete


def _list(entry: Complete, required: bool) -> Complete:
    def complete(value: Any, info: Any) -> Any:
        if value is None and not required:
            return None
        if not isinstance(value, list) or len(value) > MOST_NESTED:
            raise UnusualError
        return [entry(item, info) for item in value]

    return complete


def _object(executor: Executor[Any], type_: GraphQLObjectType, selected: list[Any], required: bool) -> Complete:
    collected = executor.collect_subfields(type_, selected)
    if collected.new_defer_usages:
        raise UnusualError
    fields = [(name, *_field(executor, type_, details)) for name, details in collected.grouped_field_set.items()]
    is_type_of = type_.is_type_of

    def complete(value: Any, info: Any) -> Any:
        if value is None and not required:
            return None
        if is_type_of is None:
            _check(value)
        elif is_type_of(value, info) is not True:
            raise UnusualError
        return {name: complete_field(resolve(value), info) for name, resolve, complete_field in fields}

    return complete


def _field(
    executor: Executor[Any], parent: GraphQLObjectType, selected: list[Any]
) -> tuple[Callable[[Any], Any], Complete]:
    """Return the functions that resolve a field and complete its value."""
    nodes: list[FieldNode] = [details.node for details in selected]
    if any(directive.name.value not in _CONDITIONS for node in nodes for directive in node.directives or ()):
        raise UnusualError
    name = nodes[0].name.value
    if name == "__typename":
        return lambda _: parent.name, lambda value, _: value
    definition = parent.fields.get(name)
    if definition is None or definition.args:
        raise UnusualError
    return _resolver(definition), _compile(executor, definition.type, selected)


def _resolver(definition: GraphQLField) -> Callable[[Any], Any]:
    """Return the resolver of a field if it takes only the object."""
    field = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(field, StrawberryField) or field.extensions or field.is_async:
        raise UnusualError
    resolver = field.base_resolver
    if resolver is None:
        if field.default_resolver is not getattr:
            raise UnusualError
        return attrgetter(field.python_name)
    others = (resolver.info_parameter, resolver.root_parameter, resolver.parent_parameter)
    if resolver.self_parameter is None or resolver.arguments or any(others) or not callable(resolver.wrapped_func):
        raise UnusualError
    return resolver.wrapped_func


def _check(value: Any) -> None:
    """Raise UnusualError if a value is awaitable or an error."""
    if value is None or value is Undefined or isinstance(value, Exception) or is_awaitable(value):
        raise UnusualError
