"""Mutations derived from operations: an input with the fields of the request, and a payload with links."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import strawberry
from strawberry.tools import create_type
from strawberry.types.base import get_object_definition
from strawberry.types.field import StrawberryField

from kafka_facade.core.catalogue import Catalogue, Operation
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.inputs import Fields, derive_input


@dataclass(frozen=True, slots=True)
class Outcome:
    """The request and its answer, from which the fields of a payload are resolved."""

    request: Any
    answer: Any


@dataclass(frozen=True, slots=True)
class Shown:
    """A field of a payload; ``resolve`` returns its value or an awaitable of it."""

    name: str
    type: Any
    description: str
    resolve: Callable[[Outcome, Info], Any]


def written(name: str, type: Any, description: str) -> Shown:
    """Return the field of a payload that shows the answer itself."""
    return Shown(name, type, description, lambda outcome, info: outcome.answer)


def named(name: str, type: Any, description: str, of: str) -> Shown:
    """Return the field of a payload that repeats a field of the request."""
    return Shown(name, type, description, lambda outcome, info: getattr(outcome.request, of))


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutation whose input is a request of the core.

    The catalogue has its name, after which input and payload are named. ``argument``, ``input`` and ``payload`` are the
    descriptions of these, ``fields`` those of the input's fields.
    """

    identifier: str
    request: type[Any]
    description: str
    argument: str
    input: str
    payload: str
    shows: Sequence[Shown]
    fields: Fields = field(default_factory=dict)


def mutation_fields(mutations: Iterable[Mutation | type[Any]], catalogue: Catalogue) -> list[StrawberryField]:
    """Return the fields of the mutation root: derived ones, and those of Strawberry types."""
    fields: list[StrawberryField] = []
    for entry in mutations:
        if isinstance(entry, Mutation):
            fields.append(_field(entry, catalogue[entry.identifier]))
        else:
            fields += get_object_definition(entry, strict=True).fields
    return fields


def _field(mutation: Mutation, operation: Operation) -> StrawberryField:
    name = operation.graphql_field
    type_name = name[0].upper() + name[1:]
    given = derive_input(mutation.request, f"{type_name}Input", mutation.input, mutation.fields)
    payload: Any = create_type(
        f"{type_name}Payload", [_shown(entry) for entry in mutation.shows], description=mutation.payload
    )

    async def resolve(self: Any, info: Info, input: Any) -> Outcome:
        request = given.read(input)
        return Outcome(request, await info.context.change(operation.identifier, request))

    argument: Any = Annotated[given.type, strawberry.argument(description=mutation.argument)]
    return _made(resolve, name, payload | None, mutation.description, input=argument)


def _shown(entry: Shown) -> StrawberryField:
    def resolve(self: Any, info: Info) -> Any:
        return entry.resolve(self, info)

    return _made(resolve, entry.name, entry.type, entry.description)


def _made(resolve: Callable[..., Any], name: str, type: Any, description: str, **arguments: Any) -> StrawberryField:
    """Return a field whose resolver gets its arguments by name."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind), inspect.Parameter("info", kind, annotation=Info)]
    parameters += [inspect.Parameter(name, kind, annotation=annotation) for name, annotation in arguments.items()]
    vars(resolve)["__signature__"] = inspect.Signature(parameters)
    resolve.__name__ = name
    made: StrawberryField = strawberry.field(resolver=resolve, name=name, graphql_type=type, description=description)
    return made
