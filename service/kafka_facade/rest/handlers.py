"""Registration of handlers for the identifiers of the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kafka_facade.core.catalogue import BY_IDENTIFIER
from kafka_facade.rest.exchange import Exchange, Response

Handler = Callable[[Exchange], Awaitable[Response | None]]
"""Handles a request and returns the response; None if it has sent the response itself."""

HANDLERS: dict[str, Handler] = {}


def route(*identifiers: str) -> Callable[[Handler], Handler]:
    """Register a handler for operations."""

    def register(handler: Handler) -> Handler:
        for identifier in identifiers:
            if identifier not in BY_IDENTIFIER:
                raise LookupError(f"no operation is called {identifier}")
            HANDLERS[identifier] = handler
        return handler

    return register


@dataclass(frozen=True, slots=True)
class Body:
    """A function that reads fields of a request from a body."""

    fields: tuple[str, ...]
    read: Callable[[bytes], dict[str, Any]]


BODIES: dict[type[Any], Body] = {}
"""The body readers of requests whose handlers are otherwise derived."""

_Read = Callable[[bytes], dict[str, Any]]


def body_of(*requests: type[Any], fields: tuple[str, ...]) -> Callable[[_Read], _Read]:
    """Register a function that reads these fields of requests from a body."""

    def register(read: _Read) -> _Read:
        BODIES.update(dict.fromkeys(requests, Body(fields, read)))
        return read

    return register
