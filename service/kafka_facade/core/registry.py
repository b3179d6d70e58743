"""Which method of the core runs an operation, derived from the methods that say what they implement.

An operation has one implementation: a method marked with :func:`implements`. A method marked with :func:`also_answers`
takes requests of another type under the same identifiers: for many things at once, or for a face's own shape of an
answer. Either way the identifier is what access lists, metrics and logs see.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka_facade.core.catalogue import BY_IDENTIFIER, mark_implemented
from kafka_facade.core.errors import NotImplementedYet

_Method = TypeVar("_Method", bound=Callable[..., Any])
_MARK = "__kafka_facade_operations__"


def implements(*identifiers: str) -> Callable[[_Method], _Method]:
    """Mark a method as the implementation of these operations: ``async def method(self, call, request) -> answer``."""

    def mark(method: _Method) -> _Method:
        _mark(method, identifiers, primary=True)
        mark_implemented(identifiers)
        return method

    return mark


def also_answers(*identifiers: str) -> Callable[[_Method], _Method]:
    """Mark a method that takes another type of request under the identifiers of these operations."""

    def mark(method: _Method) -> _Method:
        _mark(method, identifiers, primary=False)
        return method

    return mark


def _mark(method: Callable[..., Any], identifiers: Iterable[str], *, primary: bool) -> None:
    for identifier in identifiers:
        if identifier not in BY_IDENTIFIER:
            raise LookupError(f"no operation is called {identifier}")
    setattr(method, _MARK, {**getattr(method, _MARK, {}), **dict.fromkeys(identifiers, primary)})


@dataclass(frozen=True, slots=True)
class Implementation:
    """A bound method with the types of its request and of its answer."""

    method: Callable[[Any, Any], Any]
    request: type[Any]
    answer: Any


class Registry:
    """The implementations of all operations, compiled once from the objects that have them."""

    def __init__(self, families: Iterable[object]) -> None:
        self._primary: dict[str, Implementation] = {}
        self._methods: dict[tuple[str, type[Any]], Callable[[Any, Any], Any]] = {}
        for family in families:
            for name in dir(type(family)):
                marks: dict[str, bool] = getattr(getattr(type(family), name), _MARK, {})
                if marks:
                    self._add(getattr(family, name), marks)

    def _add(self, method: Callable[[Any, Any], Any], marks: dict[str, bool]) -> None:
        hints = typing.get_type_hints(method)
        found = Implementation(method, hints["request"], hints["return"])
        for identifier, primary in marks.items():
            key = (identifier, found.request)
            if key in self._methods or (primary and identifier in self._primary):
                raise LookupError(f"{identifier} has two implementations")
            self._methods[key] = method
            if primary:
                self._primary[identifier] = found

    def implementation(self, identifier: str) -> Implementation:
        """The implementation of an operation; NotImplementedYet."""
        try:
            return self._primary[identifier]
        except KeyError:
            raise NotImplementedYet(f"{identifier} is not implemented yet.", operation=identifier) from None

    def method(self, identifier: str, request: object) -> Callable[[Any, Any], Any]:
        """What takes this request; NotImplementedYet where the operation has no implementation."""
        method = self._methods.get((identifier, type(request)))
        if method is None:
            self.implementation(identifier)
            raise TypeError(f"{identifier} takes no {type(request).__name__}")
        return method
