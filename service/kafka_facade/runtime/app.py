"""The ASGI application of a worker."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

logger = logging.getLogger("kafka_facade.runtime")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class HttpFaces:
    """Dispatches to GraphQL by its path, and to REST for all other paths."""

    def __init__(self, rest: App, graphql: App | None, graphql_path: str) -> None:
        self._rest = rest
        self._graphql = graphql
        self._path = graphql_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket."""
        path: str = scope["path"]
        if self._graphql is not None and (path == self._path or path.startswith(self._path + "/")):
            await self._graphql(scope, receive, send)
        elif scope["type"] == "http":
            await self._rest(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})


class Life(Protocol):
    """What the lifespan starts and stops; ``http`` serves requests once there is one."""

    http: App | None

    async def start(self) -> None:
        """Start."""

    async def stop(self) -> None:
        """Stop, also what a failed start has left."""


class Gateway:
    """What the HTTP server runs: requests go to the worker's faces, and its lifespan starts and stops the worker."""

    def __init__(self, worker: Life) -> None:
        self.worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self.worker.http is not None:
            await self.worker.http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.worker.start()
        except Exception as error:
            logger.debug("start-up failed", exc_info=True)
            await self.worker.stop()
            await send({"type": "lifespan.startup.failed", "message": f"The gateway can't start: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.worker.stop()
        await send({"type": "lifespan.shutdown.complete"})
