"""Registration of handlers for the identifiers of the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kafka_facade.rest.exchange import Exchange, Response

Handler = Callable[[Exchange], Awaitable[Response | None]]
"""Handles a request and returns the response; None if it has sent the response itself."""

HANDLERS: dict[str, Handler] = {}


def route(*identifiers: str) -> Callable[[Handler], Handler]:
    """Register a handler for operations."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(identifiers, handler))
        return handler

    return register
