"""What answers an operation: handlers register themselves for the identifiers of the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kafka_facade.core.catalogue import BY_IDENTIFIER
from kafka_facade.rest.exchange import Exchange, Response

Handler = Callable[[Exchange], Awaitable[Response | None]]
"""Answers a request; None where it has sent the response itself."""

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
    """What reads a request's fields from a body; its errors are what the caller is told."""

    fields: tuple[str, ...]
    read: Callable[[bytes], dict[str, Any]]


BODIES: dict[type[Any], Body] = {}
"""The bodies of requests that otherwise follow from their operations."""

_Read = Callable[[bytes], dict[str, Any]]


def body_of(*requests: type[Any], fields: tuple[str, ...]) -> Callable[[_Read], _Read]:
    """Register what reads these fields of requests from a body."""

    def register(read: _Read) -> _Read:
        BODIES.update(dict.fromkeys(requests, Body(fields, read)))
        return read

    return register
