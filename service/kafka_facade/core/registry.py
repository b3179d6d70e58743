"""The registry maps each operation to the core method that runs it.

An operation has one implementation: a method marked with :func:`implements`. A method marked with :func:`also_answers`
handles another request type under the same identifiers, for example to load many resources at once. Access lists,
metrics and logs use the identifier in both cases.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from kafka_facade.core.catalogue import Catalogue
from kafka_facade.core.errors import NotImplementedYet

_Method = TypeVar("_Method", bound=Callable[..., Any])
_MARK = "__kafka_facade_operations__"
_WITHOUT_KAFKA = "__kafka_facade_without_kafka__"


def implements(*identifiers: str) -> Callable[[_Method], _Method]:
    """Mark a method as the implementation of these operations: ``async def method(self, call, request) -> answer``."""

    def mark(method: _Method) -> _Method:
        _mark(method, identifiers, primary=True)
        return method

    return mark


def also_answers(*identifiers: str) -> Callable[[_Method], _Method]:
    """Mark a method that handles another request type under the identifiers of these operations."""

    def mark(method: _Method) -> _Method:
        _mark(method, identifiers, primary=False)
        return method

    return mark


def _mark(method: Callable[..., Any], identifiers: Iterable[str], *, primary: bool) -> None:
    setattr(method, _MARK, {**getattr(method, _MARK, {}), **dict.fromkeys(identifiers, primary)})


def without_kafka(method: _Method) -> _Method:
    """Mark a method that is called without Kafka clients: it needs none, or opens them itself."""
    setattr(method, _WITHOUT_KAFKA, True)
    return method


def needs_kafka(method: Callable[..., Any]) -> bool:
    """Return whether the Kafka clients of the caller have to be open when the method is called."""
    return not getattr(method, _WITHOUT_KAFKA, False)


def implemented_by(families: Iterable[type[Any]]) -> frozenset[str]:
    """Return the identifiers that the methods of these classes implement."""
    marks = (getattr(getattr(family, name), _MARK, {}) for family in families for name in dir(family))
    return frozenset(identifier for found in marks for identifier, primary in found.items() if primary)


def field_names(families: Iterable[type[Any]]) -> frozenset[str]:
    """Return the names of the fields of all requests and answers of these classes, and of what is in them."""
    seen: set[Any] = set()
    names: set[str] = set()

    def add(kind: Any) -> None:
        for argument in typing.get_args(kind):
            add(argument)
        if isinstance(kind, type) and kind not in seen:
            seen.add(kind)
            if hasattr(kind, "__struct_fields__") or is_dataclass(kind):
                hints = typing.get_type_hints(kind)
                names.update(hints)
                for hint in hints.values():
                    add(hint)

    for family in families:
        for method in (getattr(family, name) for name in dir(family)):
            if getattr(method, _MARK, {}):
                hints = typing.get_type_hints(method)
                add(hints["request"])
                add(hints["return"])
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Implementation:
    """A bound method with the types of its request and its answer."""

    method: Callable[[Any, Any], Any]
    request: type[Any]
    answer: Any


class Registry:
    """The implementations of all operations, collected once from the objects that define them.

    Raises LookupError for an operation that the catalogue lacks or that has two implementations.
    """

    def __init__(self, families: Iterable[object], catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._primary: dict[str, Implementation] = {}
        self._methods: dict[tuple[str, type[Any]], Callable[[Any, Any], Any]] = {}
        self._named: dict[tuple[str, str], Implementation] = {}
        for family in families:
            for name in dir(type(family)):
                marks: dict[str, bool] = getattr(getattr(type(family), name), _MARK, {})
                if marks:
                    self._add(getattr(family, name), marks)

    def _add(self, method: Callable[[Any, Any], Any], marks: dict[str, bool]) -> None:
        hints = typing.get_type_hints(method)
        found = Implementation(method, hints["request"], hints["return"])
        for identifier, primary in marks.items():
            if identifier not in self._catalogue:
                raise LookupError(f"no operation is called {identifier}")
            key = (identifier, found.request)
            if key in self._methods or (primary and identifier in self._primary):
                raise LookupError(f"{identifier} has two implementations")
            self._methods[key] = method
            self._named[identifier, found.request.__name__] = found
            if primary:
                self._primary[identifier] = found

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._primary

    def implementation(self, identifier: str) -> Implementation:
        """Return the implementation of an operation. Raises NotImplementedYet."""
        try:
            return self._primary[identifier]
        except KeyError:
            raise NotImplementedYet(f"{identifier} is not implemented yet.", operation=identifier) from None

    @property
    def requests(self) -> set[type[Any]]:
        """The types of all requests."""
        return {found.request for found in self._named.values()}

    def named(self, identifier: str, request: str) -> Implementation:
        """Return what handles requests of the type with this name under an identifier. Raises NotImplementedYet."""
        found = self._named.get((identifier, request))
        if found is None:
            raise NotImplementedYet(f"{identifier} takes no {request}.", operation=identifier)
        return found

    def method(self, identifier: str, request: object) -> Callable[[Any, Any], Any]:
        """Return the method that handles a request. Raises NotImplementedYet if the operation has none."""
        method = self._methods.get((identifier, type(request)))
        if method is None:
            self.implementation(identifier)
            raise TypeError(f"{identifier} takes no {type(request).__name__}")
        return method
