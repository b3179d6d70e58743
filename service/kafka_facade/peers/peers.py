"""Calls from a worker to its peers, and from them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc

from kafka_facade.core.call import Call
from kafka_facade.core.core import Core
from kafka_facade.core.deadlines import Deadlines
from kafka_facade.core.errors import FacadeError, KafkaTimeout, ServerError, Unavailable
from kafka_facade.core.instances.interruption import unless
from kafka_facade.core.instances.model import FetchRecords, OfInstance
from kafka_facade.core.instances.placement import slot_of
from kafka_facade.peers import wire
from kafka_facade.peers.ownership import Ownership
from kafka_facade.peers.peer import SILENCE_SECONDS, Peer, SilentPeerError
from kafka_facade.peers.transport import Transport, new_server
from kafka_facade.peers.wire import MovedError, Wire

logger = logging.getLogger("kafka_facade.peers")

# The owner enforces the deadline of a call; the caller waits this much longer (s) for the answer.
_GRACE_SECONDS = 1.0
# Maximum time (s) to wait for the replacement of a dead worker.
_REPLACEMENT_SECONDS = 10.0
_RETRY_SECONDS = 0.1
_STOP_SECONDS = 0.5
# How long (s) the owner may take to end a call after the acknowledgement: it only commits.
_END_SECONDS = 10.0
# Channels that had no call for this long (s) are closed: their worker may have ended.
_IDLE_SECONDS = 60.0
# The address of the sender, in the metadata of a call.
_SENDER = "kafka-facade-sender-bin"
_NO_ANSWER = "The worker that owns this consumer instance does not respond; retry."

_Stream = grpc.aio.StreamStreamCall[bytes, bytes]
_Context = grpc.aio.ServicerContext[bytes, bytes]
_Message = TypeVar("_Message")


class Peers:
    """The peer port: forwards calls to the owner of the instance's slot, and runs calls for the slots of this
    worker."""

    def __init__(
        self,
        ownership: Ownership,
        transport: Transport,
        silence_seconds: float = SILENCE_SECONDS,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._ownership = ownership
        self._transport = transport
        self._silence_seconds = silence_seconds
        self._idle_seconds = idle_seconds
        self._known: dict[str, Peer] = {}
        self._deadlines: Deadlines | None = None
        self._wire: Wire | None = None
        self._server: grpc.aio.Server | None = None
        self._owning: asyncio.Task[None] | None = None
        self._closing_idle: asyncio.Task[None] | None = None
        self._ends = asyncio.Event()

    def holds(self, group: str, instance: str) -> bool:
        """Return whether this worker owns the slot of an instance, which need not exist."""
        return self._ownership.owns(slot_of(group, instance, self._ownership.count))

    async def start(self, core: Core) -> None:
        """Start the server for peers, and claim slots."""
        self._wire = Wire(core.forwardable)
        self._deadlines = core.pipeline.deadlines
        self._server = new_server(_Handler(self, self._wire, core))
        self._transport.listen(self._server)
        await self._server.start()
        self._owning = asyncio.create_task(self._ownership.run(core.end_moved_instances), name="ownership of slots")
        self._closing_idle = asyncio.create_task(self._close_idle(), name="idle channels to workers")

    async def close(self) -> None:
        """Release all slots, and end running calls."""
        if self._owning is not None:
            self._owning.cancel()
            await asyncio.gather(self._owning, return_exceptions=True)
        if self._server is not None:
            await self._server.stop(_STOP_SECONDS)
        self._deadlines = None
        self._ends.set()
        if self._closing_idle is not None:
            await self._closing_idle
        await asyncio.gather(*(peer.close() for peer in self._known.values()))
        self._transport.close()

    async def _close_idle(self) -> None:
        """Close the channels to workers without calls until this worker ends; those of dead workers would stay."""
        while not self._ends.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_seconds / 2):
                    await self._ends.wait()
            idle = {address: peer for address, peer in self._known.items() if peer.idle_seconds > self._idle_seconds}
            for address in idle:
                # From now on, a call to this address opens another channel.
                del self._known[address]
            await asyncio.gather(*(peer.close() for peer in idle.values()))

    async def forward(self, call: Call, request: OfInstance) -> Any:
        """Run an operation in the worker that owns the instance. Raises its errors, and Unavailable without an
        owner."""
        slot = slot_of(request.group, request.instance, self._ownership.count)
        replaced_by = time.monotonic() + min(_REPLACEMENT_SECONDS, call.remaining)
        begun = False

        async def hand_over(found: Any) -> None:
            nonlocal begun
            begun = True
            if call.hand_over is not None:
                await call.hand_over(found)

        while True:
            reason: object = "the slot has no owner"
            try:
                # Look up the address each time: the owner may have ended or lost the slot.
                address = self._ownership.address_of(slot)
                if address is not None and call.hand_over is None and not isinstance(request, FetchRecords):
                    return await self._send(address, call, request)
                if address is not None:
                    return await self._send_and_hand_over(address, call, request, hand_over)
            except MovedError:
                reason = "the slot has another owner"
            except SilentPeerError as error:
                # The operation may have run, so do not repeat it.
                reason, replaced_by = error, 0.0
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise KafkaTimeout from None
                reason = error.details()
                # A dead worker's instances are gone with it, so a retry repeats nothing.
                if begun or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    replaced_by = 0.0
            if time.monotonic() > replaced_by:
                logger.warning("no worker runs calls for slot %d: %s", slot, reason)
                raise Unavailable(_NO_ANSWER)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self, address: str, call: Call, request: OfInstance) -> Any:
        peer = self.peer(address)
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = peer.channel.unary_unary(wire.PATH)
        timeout = call.remaining + _GRACE_SECONDS
        message = self._encoding.encode_call(call, request)
        with peer.in_flight(timeout):
            answer = await _connected(send(message, timeout=timeout))
        return self._encoding.decode_outcome(call, request, answer)

    async def _send_and_hand_over(
        self, address: str, call: Call, request: OfInstance, hand_over: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> Any:
        """Forward a call and acknowledge the handover; without it, the stream is cancelled and nothing is consumed."""
        peer = self.peer(address)
        open: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = peer.channel.stream_stream(wire.HAND_OVER_PATH)
        timeout = call.remaining + _GRACE_SECONDS
        sender = (_SENDER, os.fsencode(self._transport.address))
        with peer.in_flight(timeout):
            stream = open(timeout=timeout, metadata=(sender,))
            last: asyncio.Task[bytes | None] | None = None
            try:
                await _write(stream, self._encoding.encode_call(call, request))
                found = await self._encoding.read_answer(call, request, lambda: _message(stream))
                # Before the acknowledgement, the owner can only end the stream, or send the error of the operation.
                last = asyncio.create_task(_read(stream), name="end of a peer's call")
                await unless(last, hand_over(found))
                acknowledged = not last.done() and await _write(stream, wire.ACKNOWLEDGEMENT)
                failure = await self._end_of(last)
                if failure is not None:
                    self._encoding.decode_outcome(call, request, failure)
                if not acknowledged:
                    raise Unavailable(_NO_ANSWER)
                return found
            finally:
                stream.cancel()
                if last is not None:
                    last.cancel()
                    await asyncio.gather(last, return_exceptions=True)

    async def _end_of(self, last: asyncio.Task[bytes | None]) -> bytes | None:
        """Await the end of a call after its acknowledgement."""
        await asyncio.wait({last}, timeout=_END_SECONDS)
        if not last.done():
            raise Unavailable(_NO_ANSWER)
        return last.result()

    def peer(self, address: str) -> Peer:
        """Return the worker at an address. Raises Unavailable once this worker ends."""
        peer = self._known.get(address)
        if peer is None:
            if self._deadlines is None:
                raise Unavailable(_NO_ANSWER)
            peer = self._known[address] = Peer(self._transport, address, self._deadlines, self._silence_seconds)
        return peer

    @property
    def _encoding(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("Peers must be started before they are used.")
        return self._wire


async def _connected(answer: Awaitable[_Message]) -> _Message:
    """Await an answer. Raises Unavailable if gRPC cancels it because this worker closes its channels."""
    try:
        return await answer
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(_NO_ANSWER) from None


async def _write(stream: _Stream, message: bytes) -> bool:
    """Write a message; return whether the stream was still open. If not, reading it raises the reason."""
    try:
        await _connected(stream.write(message))
    except asyncio.InvalidStateError:
        return False
    return True


async def _read(stream: _Stream) -> bytes | None:
    """Read a message; None at the end. Raises AioRpcError."""
    message = await _connected(stream.read())
    return message if isinstance(message, bytes) else None


async def _message(stream: _Stream) -> bytes:
    """Read a message. Raises AioRpcError, and Unavailable at the end."""
    message = await _read(stream)
    if message is None:
        raise Unavailable(_NO_ANSWER)
    return message


class _Handler(grpc.GenericRpcHandler):
    """Runs forwarded calls for slots of this worker, and answers others with MOVED."""

    def __init__(self, peers: Peers, encoding: Wire, core: Core) -> None:
        self._peers = peers
        self._wire = encoding
        self._core = core
        self._methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            wire.PATH: grpc.unary_unary_rpc_method_handler(self._serve),
            wire.HAND_OVER_PATH: grpc.stream_stream_rpc_method_handler(self._serve_and_hand_over),
            wire.PING_PATH: grpc.unary_unary_rpc_method_handler(self._answer_ping),
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._methods.get(str(details.method))

    async def _serve(self, payload: bytes, _: Any) -> bytes:
        try:
            call, request = self._wire.decode_call(payload)
            if not self._is_here(request):
                return wire.MOVED
            return self._wire.encode_answer(await self._core.perform_forwarded(call, request))
        except Exception as error:
            return _failure(error)

    async def _serve_and_hand_over(self, _: Any, context: _Context) -> None:
        sender = self._peers.peer(_sender_of(context))
        try:
            # The caller decides when the call ends, unless it does not respond.
            with sender.in_flight(math.inf):
                await self._run_and_hand_over(context)
        except _PeerGoneError:
            raise asyncio.CancelledError from None
        except SilentPeerError as error:
            logger.warning("an answer was not handed over: %s", error)
            raise asyncio.CancelledError from None

    async def _run_and_hand_over(self, context: _Context) -> None:
        writing: asyncio.Task[None] | None = None

        async def hand_over(found: Any) -> None:
            nonlocal writing
            async with contextlib.aclosing(self._wire.pieces(call, request, found)) as pieces:
                async for piece in pieces:
                    # If the instance ends now, its error must be written after this message.
                    writing = asyncio.create_task(_answer(context, piece), name="peer's answer")
                    await asyncio.shield(writing)
            if await context.read() != wire.ACKNOWLEDGEMENT:
                raise _PeerGoneError

        try:
            message = await context.read()
            if not isinstance(message, bytes):
                # The end of the stream, before the call.
                raise _PeerGoneError
            call, request = self._wire.decode_call(message)
            if not self._is_here(request):
                await _answer(context, wire.MOVED)
                return
            call.hand_over = hand_over
            await self._core.perform_forwarded(call, request)
        except _PeerGoneError:
            raise
        except Exception as error:
            if writing is not None:
                await writing
            await _answer(context, _failure(error))
        finally:
            if writing is not None:
                # Unless the call is cancelled, it has been written.
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _answer_ping(self, _: bytes, __: Any) -> bytes:
        return b""

    def _is_here(self, request: OfInstance) -> bool:
        # The operation checks again, so it runs only where the slot is owned then.
        return self._peers.holds(request.group, request.instance)


class _PeerGoneError(Exception):
    """The forwarding worker has ended the call, because its caller has disconnected or its process ends."""


async def _answer(context: _Context, message: bytes) -> None:
    try:
        await context.write(message)
    except grpc.aio.BaseError:
        raise _PeerGoneError from None


def _sender_of(context: _Context) -> str:
    metadata = dict(context.invocation_metadata() or ())
    sender = metadata.get(_SENDER, b"")
    return os.fsdecode(sender)


def _failure(error: Exception) -> bytes:
    if isinstance(error, FacadeError):
        return wire.encode_failure(error)
    logger.error("a forwarded call failed", exc_info=error)
    return wire.encode_failure(ServerError())
