"""Results one after the other: server-sent events, and graphql-transport-ws.

Both pull: the next result is made when the one before has been handed to the connection, which takes it once the peer
has taken most of what was sent. What a connection holds is bounded by the size of an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from json import JSONDecodeError
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.types.execution import ExecutionResult

from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.records.decoding_budget import weighs_more
from kafka_facade.core.time_slices import time_slice
from kafka_facade_graphql.context import Context
from kafka_facade_graphql.errors import extensions_of
from kafka_facade_graphql.handing_over import current, handing_over

# A comment so often (s) tells proxies and the peer that a stream without events is alive.
_HEARTBEAT_SECONDS: Final = 15.0
_HEARTBEAT: Final = b": ping\n\n"
# The bytes of a control frame, without its code (RFC 6455, 5.5).
_MAX_REASON: Final = 123
# The code for a message that is more than the other side takes (RFC 6455, 7.4.1).
_TOO_BIG: Final = 1009
# What is decoded as one piece (see ``json_weight``), some 40 ms.
_MOST_WEIGHT: Final = 16 * 1024 * 1024


class EventStream(Response):
    """The results of one operation as server-sent events (graphql-sse, "distinct connections mode")."""

    def __init__(
        self,
        results: AsyncGenerator[ExecutionResult, None],
        encode: Callable[[ExecutionResult], Awaitable[bytes]],
        headers: Mapping[str, str],
    ) -> None:
        """``encode`` makes the JSON of a result, without line breaks."""
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._results = results
        self._encode = encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the operation ends or the peer is gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await self._results.aclose()
            await _send_body(send, b"", more=False)
            return
        writing = asyncio.create_task(self._write(send), name="server-sent events")
        leaving = asyncio.create_task(_disconnected(receive), name="peer of server-sent events")
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
        if not writing.cancelled():
            writing.result()

    async def _write(self, send: Send) -> None:
        async with aclosing(self._results) as results:
            while True:
                following = asyncio.ensure_future(anext(results, None))
                try:
                    while not (await asyncio.wait({following}, timeout=_HEARTBEAT_SECONDS))[0]:
                        await _send_body(send, _HEARTBEAT)
                    result = following.result()
                finally:
                    # The generator can't be closed while it runs.
                    if following.cancel():
                        await asyncio.gather(following, return_exceptions=True)
                if result is None:
                    break
                await _send_body(send, b"event: next\ndata: %b\n\n" % await self._encode(result))
        # Browsers drop an event without data.
        await _send_body(send, b"event: complete\ndata: \n\n", more=False)


async def _send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class WebSocketAdapter(ASGIWebSocketAdapter):
    """A connection as Strawberry uses it."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """The messages, while others have their turns."""
        while self.ws.application_state is not WebSocketState.DISCONNECTED:
            try:
                text = await self.ws.receive_text()
            except WebSocketDisconnect:
                return
            except KeyError as error:
                raise NonTextMessageReceived from error
            await time_slice()
            if weighs_more(text.encode(errors="replace"), _MOST_WEIGHT):
                await self.close(_TOO_BIG, "The message has too many values")
                return
            try:
                message = self.view.decode_json(text)
            except JSONDecodeError as error:
                if not ignore_parsing_errors:
                    raise NonJsonMessageReceived from error
            else:
                yield message

    async def close(self, code: int, reason: str) -> None:
        """Close it; of a reason that is too long the beginning is sent."""
        await super().close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))


class WebSocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """One connection with its operations."""

    async def handle_message(self, message: Any) -> None:
        """Close the connection with 4400 where a message isn't of the protocol's form."""
        try:
            await super().handle_message(message)
        except (TypeError, AttributeError):
            await self.handle_invalid_message("Failed to parse message")

    async def handle_subscribe(self, message: Any) -> None:
        """Start an operation, or say that there are too many; TypeError for an id that is no string."""
        most = self.max_subscriptions_per_connection
        if not isinstance(message["id"], str):
            raise TypeError
        known = message["id"] in self.operations or not self.connection_acknowledged
        if known or most is None or len(self.operations) < most:
            await super().handle_subscribe(message)
            return
        refused = TooManyRequests(f"A connection has at most {most} operations at a time.")
        error = {"message": refused.message, "extensions": extensions_of(refused)}
        await self.send_message({"id": message["id"], "type": "error", "payload": [error]})

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Run an operation to its end, or until it is cancelled.

        A task that ends as cancelled keeps its exception, and with that the frames and the records of the operation,
        in a reference cycle. Nobody asks how it ended.
        """
        with suppress(asyncio.CancelledError, WebSocketDisconnected):
            async with handing_over() as held:
                await super().run_operation(operation)
                await held.taken()

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what an operation has failed with; that the caller has left is no failure."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def send_message(self, message: Any) -> None:
        """Send a message once the connection takes it."""
        await time_slice()
        if message["type"] == "next" and message["payload"].get("data") is None:
            # Records that were fetched are not in it.
            await current().give_back()
        await super().send_message(message)
