"""Decoding of requests; a large one is decoded in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from google.protobuf.message import DecodeError, Message

from kafka_facade.core.errors import MalformedBody

LARGE_MESSAGE: Final = 1024 * 1024
"""A larger message (bytes) is decoded and converted in a thread: each copy of 60 MB takes about 40 ms."""

_size: ContextVar[int] = ContextVar("size of the request")


def decoder(request: type[Message]) -> Callable[[bytes], Message | None]:
    """Return a deserializer that returns None for invalid bytes, which :func:`require_message` then rejects."""

    def decode(data: bytes) -> Message | None:
        try:
            return request.FromString(data)
        except DecodeError:
            return None

    return decode


def require_message(message: Message | None) -> None:
    """Raise MalformedBody if the request could not be decoded."""
    if message is None:
        raise MalformedBody("The request isn't a message of the method's type.")


async def decoded(decode: Callable[[bytes], Message | None], data: bytes) -> Message | None:
    """Decode a request as ``decode`` does, and remember its size in this task."""
    _size.set(len(data))
    return decode(data) if len(data) <= LARGE_MESSAGE else await asyncio.to_thread(decode, data)


def received_bytes() -> int:
    """Return the size of the request that this task has decoded last. ``ByteSize`` would encode the message again."""
    return _size.get()


def decoding(
    request: type[Message], serve: Callable[[Any, Any], Awaitable[Message]]
) -> Callable[[bytes, Any], Awaitable[Message]]:
    """Return a handler of encoded requests, given one of decoded requests."""
    decode = decoder(request)

    async def decode_and_serve(data: bytes, context: Any) -> Message:
        return await serve(await decoded(decode, data), context)

    return decode_and_serve
