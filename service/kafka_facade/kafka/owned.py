"""A client that is destroyed in a thread, because destroying it waits for its own threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kafka_facade.core.errors import Unavailable


class Owned:
    """Holds the only lasting reference to a client, and has its methods.

    A method looks the client up when it runs, so that neither a waiting call nor the traceback of an exception keeps
    the client alive.
    """

    def __init__(self, client: Any) -> None:
        self._held = [client]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(_call, self._held, name)

    def destroy(self) -> None:
        """Destroy the client; blocks. Later calls raise Unavailable."""
        self._held.clear()


def _call(held: list[Any], name: str, *args: Any, **named: Any) -> Any:
    if not held:
        raise Unavailable("The Kafka client is closed.")
    return getattr(held[0], name)(*args, **named)
