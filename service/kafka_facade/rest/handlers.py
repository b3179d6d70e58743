"""Registration of handlers for the identifiers of the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

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
