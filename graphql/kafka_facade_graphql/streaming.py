"""Streams of results: server-sent events, and graphql-transport-ws.

Both apply back-pressure: the next result is computed when the connection has accepted the previous one, which it does
once the peer has read most of what was sent. A connection buffers about one event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from json import JSONDecodeError
from typing import Any, Final

from graphql import OperationType
from msgspec import Raw
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.types.execution import ExecutionResult

from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.limits import FRAME_WEIGHT
from kafka_facade.core.records.decoding_budget import weighs_more
from kafka_facade.core.records.long_values import encode_in_pieces
from kafka_facade.core.time_slices import time_slice
from kafka_facade.web.scope import ENCODED_TEXT
from kafka_facade_graphql.context import Context
from kafka_facade_graphql.errors import extensions_of
from kafka_facade_graphql.handing_over import current, handing_over
from kafka_facade_graphql.numbers import decodes_slowly

# Interval (s) of comments that keep an idle stream alive for proxies and the peer.
_HEARTBEAT_SECONDS: Final = 15.0
_HEARTBEAT: Final = b": ping\n\n"
# Bytes of an event to send at once.
_PART: Final = 256 * 1024
# Maximum bytes of the reason in a close frame (RFC 6455, 5.5).
_MAX_REASON: Final = 123
# The close code for a message that is too big (RFC 6455, 7.4.1).
_TOO_BIG: Final = 1009
# Maximum weight (see ``json_weight``) to decode on the event loop; about 40 ms.


class EventStream(Response):
    """The results of one operation as server-sent events (graphql-sse, "distinct connections mode")."""

    def __init__(
        self,
        results: AsyncGenerator[ExecutionResult, None],
        encode: Callable[[ExecutionResult], Awaitable[bytes]],
        headers: Mapping[str, str],
    ) -> None:
        """``encode`` returns the JSON of a result, without line breaks."""
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._results = results
        self._encode = encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the operation ends or the peer disconnects."""
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
                    # A running generator cannot be closed, so cancel it first.
                    if following.cancel():
                        await asyncio.gather(following, return_exceptions=True)
                if result is None:
                    break
                await _send_event(send, await self._encode(result))
                _forget(result.data)
                del result, following
        # Browsers ignore an event without data.
        await _send_body(send, b"event: complete\ndata: \n\n", more=False)


async def _send_event(send: Send, data: bytes) -> None:
    """Send an event, a long one in parts, with flow control between them."""
    if len(data) <= _PART:
        await _send_body(send, b"event: next\ndata: %b\n\n" % bytes(data))
        return
    await _send_body(send, b"event: next\ndata: ")
    for start in range(0, len(data), _PART):
        await time_slice()
        await _send_body(send, bytes(data[start : start + _PART]))
    await _send_body(send, b"\n\n")


def in_parts(send: Send) -> Send:
    """Wrap ``send`` to send long bodies in parts, with flow control between them."""

    async def send_parts(message: Message) -> None:
        body = message.get("body", b"")
        if len(body) > _PART:
            left = memoryview(body)
            while len(left) > _PART:
                await time_slice()
                await send({**message, "body": bytes(left[:_PART]), "more_body": True})
                left = left[_PART:]
            message = {**message, "body": bytes(left)}
        await send(message)

    return send_parts


async def _send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _forget(data: object) -> None:
    """Drop the data of a result that was sent: the libraries keep it until the next one, which may take hours."""
    if isinstance(data, dict):
        data.clear()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class WebSocketAdapter(ASGIWebSocketAdapter):
    """Adapts a connection for Strawberry."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turn = asyncio.Lock()

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """Yield decoded messages, in time slices."""
        while self.ws.application_state is not WebSocketState.DISCONNECTED:
            try:
                text = await self.ws.receive_text()
            except WebSocketDisconnect:
                return
            except KeyError as error:
                raise NonTextMessageReceived from error
            await time_slice()
            data = text.encode(errors="replace")
            if weighs_more(data, FRAME_WEIGHT):
                await self.close(_TOO_BIG, "The message has too many values")
                return
            try:
                if decodes_slowly(data):
                    message = await asyncio.to_thread(self.view.decode_json, text)
                else:
                    message = self.view.decode_json(text)
            except JSONDecodeError as error:
                if not ignore_parsing_errors:
                    raise NonJsonMessageReceived from error
            else:
                del text, data
                yield message

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message. Raises WebSocketDisconnected once the connection has ended, from whichever side."""
        # A connection has one encoded message at a time.
        async with self._turn:
            text = await encode_in_pieces(message)
            try:
                if ENCODED_TEXT in self.ws.scope:
                    await self.ws.send({"type": "websocket.send", ENCODED_TEXT: text})
                else:
                    await self.ws.send_text(text.decode())
            except (RuntimeError, WebSocketDisconnect) as error:
                # A RuntimeError is Starlette's once it has sent a close.
                raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, unless it has ended; a reason that is too long is truncated."""
        with suppress(RuntimeError, WebSocketDisconnect):
            await super().close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))


class WebSocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """One connection with its operations."""

    async def handle_message(self, message: Any) -> None:
        """Handle a message; close the connection with 4400 if it violates the protocol."""
        try:
            await super().handle_message(message)
        except (TypeError, AttributeError):
            await self.handle_invalid_message("Failed to parse message")
        finally:
            # The connection keeps it until the next one arrives.
            if isinstance(message, dict | list):
                message.clear()

    async def handle_subscribe(self, message: Any) -> None:
        """Start an operation, or reject it if there are too many. Raises TypeError for an id that is not a string."""
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
        """Run an operation until it ends or is cancelled.

        Suppresses the cancellation: a cancelled task would keep its exception, and with it the frames and records of
        the operation, in a reference cycle. Nothing uses the task's result.
        """
        with suppress(asyncio.CancelledError, WebSocketDisconnected):
            async with handing_over() as held:
                await super().run_operation(operation)
                await held.taken()

    async def handle_task_exception(self, error: Exception) -> None:
        """Log the failure of an operation, unless the caller has disconnected."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def _hold_memory(self, payload: dict[str, Any]) -> None:
        """Hold the memory of a response, and replace its data by its encoded form, or by an error if there is none.

        Responses of a connection wait for each other before they are sent.
        """
        data = payload.get("data")
        if data is None or current().kind is OperationType.SUBSCRIPTION:
            return
        payload["data"] = Raw(await encode_in_pieces(data))
        _forget(data)
        try:
            await current().sending_begins(self.context.core.pipeline.overload.outgoing, len(payload["data"]))
        except TooManyRequests as error:
            payload.update({"data": None, "errors": [{"message": error.message, "extensions": extensions_of(error)}]})

    async def send_message(self, message: Any) -> None:
        """Send a message with flow control."""
        await time_slice()
        if message["type"] == "next":
            if message["payload"].get("data") is None:
                # The message has no data, so fetched records are not delivered.
                await current().give_back()
            current().withdraw(message["payload"])
            await self._hold_memory(message["payload"])
        await super().send_message(message)
        if message["type"] == "next":
            _forget(message["payload"].get("data"))
