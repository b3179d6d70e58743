"""Decoding of requests; large ones without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from google.protobuf.message import DecodeError, Message

from kafka_facade.core.errors import FacadeError, MalformedBody
from kafka_facade.rpc.inflating import inflated, is_gzip
from kafka_facade.rpc.wire import decode_large

# A larger message is decoded in pieces: this many bytes of the smallest fields take about 10 ms.
_AT_ONCE_BYTES: Final = 256 * 1024

# So many large messages are decoded at the same time.
_AT_THE_SAME_TIME: Final = 2
_slots_of: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

_Answer = TypeVar("_Answer")

_size: ContextVar[int] = ContextVar("size of the request")


def _slots() -> asyncio.Semaphore:
    """Return the slots of this event loop: a large message may take 25 times its bytes until its limits are checked."""
    loop = asyncio.get_running_loop()
    found = _slots_of.get(loop)
    if found is None:
        found = _slots_of[loop] = asyncio.Semaphore(_AT_THE_SAME_TIME)
    return found


async def decoded(request: type[Message], data: bytes, max_bytes: int) -> Message | FacadeError:
    """Decode a request, and remember its size in this task.

    Returns the error if it cannot be decoded, or has more than ``max_bytes`` once it is decompressed;
    :func:`require_message` then raises it.
    """
    try:
        if len(data) <= _AT_ONCE_BYTES and not is_gzip(data):
            return _at_once(request, data)
        async with _slots():
            if is_gzip(data):
                data = await inflated(data, max_bytes)
            if len(data) <= _AT_ONCE_BYTES:
                return _at_once(request, data)
            _size.set(len(data))
            return await decode_large(request, data)
    except DecodeError:
        return MalformedBody("The request isn't a message of the method's type.")
    except FacadeError as error:
        return error


def _at_once(request: type[Message], data: bytes) -> Message:
    _size.set(len(data))
    return request.FromString(data)


def require_message(message: Message | FacadeError) -> None:
    """Raise the error of a request that could not be decoded."""
    if isinstance(message, FacadeError):
        raise message


def received_bytes() -> int:
    """Return the size of the request that this task has decoded last. ``ByteSize`` would encode the message again."""
    return _size.get()


def decoding(
    request: type[Message], serve: Callable[[Any, Any], Awaitable[_Answer]], max_bytes: int
) -> Callable[[bytes, Any], Awaitable[_Answer]]:
    """Return a handler of encoded requests of at most ``max_bytes``, given one of decoded requests."""

    async def decode_and_serve(data: bytes, context: Any) -> _Answer:
        return await serve(await decoded(request, data, max_bytes), context)

    return decode_and_serve
