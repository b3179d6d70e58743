"""Decoding of requests; large ones without blocking the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message

from kafka_facade.core.deadlines import Deadlines
from kafka_facade.core.errors import FacadeError, MalformedBody, RequestTimeout, TooManyRequests
from kafka_facade.core.overload import MESSAGE, Overload
from kafka_facade.core.reservation import Reservation, use_reservation
from kafka_facade.rpc.inflating import inflated, inflated_size, is_gzip
from kafka_facade.rpc.wire import decode_large
from kafka_facade.web.content_coding import largest_inflated

# A larger message is decoded in pieces: this many bytes of the smallest fields take about 10 ms.
_AT_ONCE_BYTES: Final = 256 * 1024
# The memory of smaller messages does not matter.
_FEW_BYTES: Final = 2 * 1024

_FOREVER_SECONDS: Final = 1e9

# A message takes up to 25 times its bytes until its limits have been checked, and then about 4 times its bytes and
# this much for each entry of its lists.
_DECODING: Final = 25
_DECODED: Final = 4
_ENTRY_BYTES: Final = 700

_size: ContextVar[int] = ContextVar("size of the request")


async def decoded(
    request: type[Message], data: bytes, max_bytes: int, reservation: Reservation
) -> Message | FacadeError:
    """Decode a request, and remember its size in this task. Its memory is taken from the reservation.

    Returns the error if it cannot be decoded, has more than ``max_bytes`` once it is decompressed, or must wait for
    memory for too long; :func:`require_message` then raises it.
    """
    try:
        if is_gzip(data):
            await reservation.resize(_DECODING * min(inflated_size(data), largest_inflated(data), max_bytes))
            data = await inflated(data, max_bytes)
        if len(data) <= _AT_ONCE_BYTES:
            message = _at_once(request, data)
        else:
            await reservation.resize(_DECODING * len(data))
            _size.set(len(data))
            message = await decode_large(request, data)
        if len(data) > _FEW_BYTES:
            await reservation.resize(_DECODED * len(data) + _ENTRY_BYTES * _entries(message))
    except DecodeError:
        return MalformedBody("The request isn't a message of the method's type.")
    except FacadeError as error:
        return error
    return message


def _entries(message: Message) -> int:
    """Return the number of entries of the message's own lists, and of those of a frame."""
    found = 0
    for field, value in message.ListFields():
        if field.is_repeated:
            found += len(value)
        elif field.message_type is not None:
            found += sum(len(entries) for inner, entries in value.ListFields() if inner.is_repeated)
    return found


def _at_once(request: type[Message], data: bytes) -> Message:
    _size.set(len(data))
    return request.FromString(data)


def forget_frames(error: grpc.aio.AbortError) -> None:
    """Drop the error's frames: gRPC keeps it with the call, which they refer to, and to the request.

    A handler must not raise it again, which would add the handler's own frame; gRPC does so when the handler returns.
    """
    error.__context__ = None
    error.__traceback__ = None


def require_message(message: Message | FacadeError) -> None:
    """Raise the error of a request that could not be decoded."""
    if isinstance(message, FacadeError):
        raise message


def received_bytes() -> int:
    """Return the size of the request that this task has decoded last. ``ByteSize`` would encode the message again."""
    return _size.get()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives the only request of a call, of at most ``max_bytes`` and within ``seconds``.

    gRPC itself would wait for ever, and keep what has arrived. A handler of a single request would begin too late, so
    all handlers take a stream.
    """

    overload: Overload
    deadlines: Deadlines
    max_bytes: int
    seconds: float

    async def next(self, request: type[Message], context: Any, *, first: bool) -> Any:
        """Return the next decoded request of a stream; EOF at its end. Raises the errors of one.

        A stream may pause, but not before its ``first`` request.
        """
        reservation = self.reservation(context)
        try:
            seconds = self.seconds if first else _FOREVER_SECONDS
            found = await self._read(request, context, seconds, reservation, may_pause=not first)
        finally:
            reservation.release()
        if found is not grpc.aio.EOF:
            require_message(found)
        return found

    def reservation(self, context: Any) -> Reservation:
        """Return the reservation of memory for a request. Those on one connection have the same caller."""
        return Reservation(self.overload.requests, context.peer())

    async def _receive(
        self, request: type[Message], context: Any, reservation: Reservation, *, lasts: bool
    ) -> Message | FacadeError:
        """Return the decoded request, or the error of one that does not arrive or cannot be decoded.

        A call that ``lasts`` may take as long as its caller wants to, so that it holds no memory that others wait for.
        """
        found: Any = await self._read(request, context, self.seconds, reservation)
        if lasts:
            reservation.release()
            if isinstance(found, Message):
                found.DiscardUnknownFields()
        return MalformedBody("The call has no request.") if found is grpc.aio.EOF else found

    async def _read(
        self, request: type[Message], context: Any, seconds: float, reservation: Reservation, *, may_pause: bool = False
    ) -> Any:
        limit = self.deadlines.limit(seconds)
        self.overload.arrivals.begin(limit, limit.expire, may_pause=may_pause)
        try:
            with limit:
                data = await context.read()
                return data if data is grpc.aio.EOF else await decoded(request, data, self.max_bytes, reservation)
        except TimeoutError:
            return TooManyRequests(MESSAGE) if self.overload.exceeded else RequestTimeout()
        finally:
            self.overload.arrivals.end(limit)

    def unary(
        self, request: type[Message], serve: Callable[[Any, Any], Awaitable[Any]], encode: Callable[[Any], bytes]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of a method with one response, given one of decoded requests."""
        return grpc.stream_unary_rpc_method_handler(self._handler(request, serve), None, encode)

    def stream(
        self,
        request: type[Message],
        serve: Callable[[Any, Any], Awaitable[Any]],
        encode: Callable[[Any], bytes],
        *,
        lasts: bool = True,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of a method that writes its responses, given one of decoded requests.

        It ``lasts`` for as long as its caller wants to.
        """
        return grpc.stream_stream_rpc_method_handler(self._handler(request, serve, lasts=lasts), None, encode)

    def _handler(
        self, request: type[Message], serve: Callable[[Any, Any], Awaitable[Any]], *, lasts: bool = False
    ) -> Any:
        async def receive_and_serve(_requests: Any, context: Any) -> Any:
            reservation = self.reservation(context)
            use_reservation(reservation)
            try:
                return await serve(await self._receive(request, context, reservation, lasts=lasts), context)
            except grpc.aio.AbortError as error:
                forget_frames(error)
            finally:
                reservation.release()

        return receive_and_serve
