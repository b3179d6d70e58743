"""Wrappers of Strawberry's field decorators with types that pass strict checking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import strawberry

_Resolver = TypeVar("_Resolver", bound=Callable[..., Any])


def field(
    *, description: str, graphql_type: object = None, name: str | None = None
) -> Callable[[_Resolver], _Resolver]:
    """Decorate a method as the resolver of a field.

    ``graphql_type`` (a type or a forward reference) is the field's type if the method returns a core resource; ``name``
    is its name if it differs from the method's.
    """
    decorate: Callable[[_Resolver], _Resolver] = strawberry.field(
        description=description, graphql_type=graphql_type, name=name
    )
    return decorate


def subscription(*, description: str, graphql_type: object) -> Callable[[_Resolver], _Resolver]:
    """The same for a field of the subscription root; the method is an async generator."""
    decorate: Callable[[_Resolver], _Resolver] = strawberry.subscription(
        description=description, graphql_type=graphql_type
    )
    return decorate


def link(reference: str) -> Any:
    """Return a lazy, nullable type by module and name, such as ``topics.Topic``, to avoid a circular import."""
    return _lazy(reference) | None


def links(reference: str) -> Any:
    """The same for a list."""
    return list[_lazy(reference)] | None  # type: ignore[misc]


def _lazy(reference: str) -> Any:
    module, name = reference.split(".")
    annotated: Any = Annotated
    return annotated[name, strawberry.lazy(f"{__package__}.{module}")]


def argument(description: str) -> object:
    """Annotate an argument with a description."""
    return strawberry.argument(description=description)
