"""The peers of a worker: calls to them, and from them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc

from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, KafkaTimeout, ServerError, Unavailable
from kafka_facade.core.facade import Facade
from kafka_facade.core.instances.interruption import unless
from kafka_facade.peers import wire
from kafka_facade.peers.slots import Slots

logger = logging.getLogger("kafka_facade.peers")

# What a read returns may be as large as its max_bytes.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_CHANNEL_OPTIONS = [*_OPTIONS, ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
# The one who runs a call keeps its deadline; this much more (s) is left for its answer to arrive.
_GRACE_SECONDS = 1.0
# How long (s) a slot without a worker is waited for: one that has died is replaced.
_REPLACEMENT_SECONDS = 10.0
_RETRY_SECONDS = 0.1
_STOP_SECONDS = 0.5
_NO_ANSWER = "The worker that holds this consumer instance does not respond; retry."


class Peers:
    """The peer port over Unix sockets in a directory that only the workers of one node use."""

    def __init__(self, directory: Path, count: int) -> None:
        self._socket = directory / f"worker-{os.getpid()}.sock"
        self._slots = Slots(directory, count, self._socket)
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._server: grpc.aio.Server | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return self._slots.count

    def holds(self, slot: int) -> bool:
        """Whether this worker holds a slot."""
        return self._slots.holds(slot)

    async def start(self, facade: Facade) -> None:
        """Answer peers, and take a slot."""
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers([_Handler(facade)])
        self._socket.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()
        self._slots.claim()
        self._keeper = asyncio.create_task(self._slots.keep(), name="slots")

    async def close(self) -> None:
        """Leave all slots to others, and end calls that still run."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._slots.release()
        if self._server is not None:
            await self._server.stop(_STOP_SECONDS)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._socket.unlink(missing_ok=True)

    async def call(self, slot: int, method: str, call: Call, request: Any) -> Any:
        """Run a placed operation where the slot is held; its errors, Unavailable while nobody holds it."""
        replaced_by = time.monotonic() + min(_REPLACEMENT_SECONDS, call.remaining)
        begun = False

        async def hand_over(found: Any) -> None:
            nonlocal begun
            begun = True
            if call.hand_over is not None:
                await call.hand_over(found)

        while True:
            try:
                if call.hand_over is None:
                    return await self._send(slot, method, call, request)
                return await self._send_and_hand_over(slot, method, call, request, hand_over)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise KafkaTimeout from None
                # All that a worker holds ends with it: to send a call of its again repeats nothing.
                if begun or error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > replaced_by:
                    logger.warning("the worker of slot %d doesn't answer: %s", slot, error.details())
                    raise Unavailable(_NO_ANSWER) from None
            await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self, slot: int, method: str, call: Call, request: Any) -> Any:
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel(slot).unary_unary(wire.PATH)
        answer = await send(wire.encode_call(method, call, request), timeout=call.remaining + _GRACE_SECONDS)
        return wire.decode_outcome(method, answer)

    async def _send_and_hand_over(
        self, slot: int, method: str, call: Call, request: Any, hand_over: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> Any:
        """The one who runs it learns whether the caller has the answer: else the stream is cancelled."""
        open: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel(slot).stream_stream(wire.HAND_OVER_PATH)
        stream = open(timeout=call.remaining + _GRACE_SECONDS)
        last: asyncio.Task[bytes | None] | None = None
        try:
            await _write(stream, wire.encode_call(method, call, request))
            payload = await _read(stream)
            if payload is None:
                raise Unavailable(_NO_ANSWER)
            found = wire.decode_outcome(method, payload)
            # Before the acknowledgement the stream only ends, or says why the operation has failed meanwhile.
            last = asyncio.create_task(_read(stream), name="end of a peer's call")
            await unless(last, hand_over(found))
            acknowledged = not last.done() and await _write(stream, wire.ACKNOWLEDGEMENT)
            failure = await last
            if failure is not None:
                wire.decode_outcome(method, failure)
            if not acknowledged:
                raise Unavailable(_NO_ANSWER)
            return found
        finally:
            stream.cancel()
            if last is not None:
                last.cancel()
                await asyncio.gather(last, return_exceptions=True)

    def _channel(self, slot: int) -> grpc.aio.Channel:
        channel = self._channels.get(slot)
        if channel is None:
            target = f"unix:{self._slots.path(slot)}"
            channel = self._channels[slot] = grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
        return channel


async def _write(stream: grpc.aio.StreamStreamCall[bytes, bytes], message: bytes) -> bool:
    """Write a message; return whether the stream was still open. If not, reading it raises the reason."""
    try:
        await stream.write(message)
    except asyncio.InvalidStateError:
        return False
    return True


async def _read(stream: grpc.aio.StreamStreamCall[bytes, bytes]) -> bytes | None:
    """Read a message; None at the end. Raises AioRpcError, and Unavailable if this worker closes its connections."""
    try:
        message = await stream.read()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(_NO_ANSWER) from None
    return message if isinstance(message, bytes) else None


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            wire.PATH: grpc.unary_unary_rpc_method_handler(self._serve),
            wire.HAND_OVER_PATH: grpc.stream_stream_rpc_method_handler(self._serve_and_hand_over),
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._methods.get(str(details.method))

    async def _serve(self, payload: bytes, _: Any) -> bytes:
        try:
            method, call, request = wire.decode_call(payload)
            return wire.encode_answer(method, await self._run(method, call, request))
        except Exception as error:
            return _failure(error)

    async def _serve_and_hand_over(self, _: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        writing: asyncio.Task[None] | None = None

        async def hand_over(found: Any) -> None:
            nonlocal writing
            # If the instance ends now, its error can only be written after this.
            writing = asyncio.create_task(_answer(context, wire.encode_answer(method, found)), name="peer's answer")
            await asyncio.shield(writing)
            if await context.read() != wire.ACKNOWLEDGEMENT:
                raise _PeerGoneError

        try:
            method, call, request = wire.decode_call(await context.read())
            call.hand_over = hand_over
            await self._run(method, call, request)
        except _PeerGoneError:
            raise asyncio.CancelledError from None
        except Exception as error:
            try:
                if writing is not None:
                    await writing
                await _answer(context, _failure(error))
            except _PeerGoneError:
                raise asyncio.CancelledError from None
        finally:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)

    async def _run(self, method: str, call: Call, request: Any) -> Any:
        return await self._facade.perform_forwarded(method, call, request)


class _PeerGoneError(Exception):
    """The worker that forwarded a call has ended it, because its caller has left or its own process ends."""


async def _answer(context: grpc.aio.ServicerContext[bytes, bytes], message: bytes) -> None:
    try:
        await context.write(message)
    except grpc.aio.BaseError:
        raise _PeerGoneError from None


def _failure(error: Exception) -> bytes:
    if isinstance(error, FacadeError):
        return wire.encode_failure(error)
    logger.error("a peer's call failed", exc_info=error)
    return wire.encode_failure(ServerError())
