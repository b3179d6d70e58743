"""Sending of complete responses."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final

from kafka_facade.core.core import Core
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.connection import Connection, Headers
from kafka_facade.rest.encoding import MIN_COMPRESSED_BYTES, accepts_gzip, compress, compressor
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.web.body import ClientDisconnected

_VARY: Final = (b"vary", b"Accept-Encoding")
_GZIP: Final = (b"content-encoding", b"gzip")
_VARYING: Final = ("GET", "HEAD", "POST")
_COMPRESS_IN_THREAD: Final = 256 * 1024
# Bytes of a body to write at once.
_PART: Final = 256 * 1024
# Bodies up to this size (bytes) are written without checking the time slice.
_SMALL: Final = 32 * 1024


def while_sent(core: Core, connection: Connection, size: int) -> AbstractAsyncContextManager[None]:
    """Hold the memory of a response of so many bytes, which its caller takes in the block.

    Raises TooManyRequests if there is none for long, unless something was changed, so that it must not be tried again.
    """
    changed = connection.method not in ("GET", "HEAD")
    return core.pipeline.overload.outgoing.hold(size, copies=1, anyway=changed)


async def send_response(response: Response, connection: Connection, media_type: str, *, compression: bool) -> None:
    """Send a response; ``media_type`` is the negotiated one."""
    headers, body = await _encoded(response, connection, media_type, compression)
    await connection.start(response.status, headers)
    await _send_body(connection, body, more=False)


async def hand_over(exchange: Exchange, response: Response) -> None:
    """Send a response except for its end, and wait until the network has taken it.

    Raises ConnectionError, and ClientDisconnected, before anything is sent, if the caller has closed its side.
    The caller may have the whole response then, but the connection serves no other request until :func:`end` is called.
    """
    connection = exchange.connection
    headers, body = await _encoded(response, connection, exchange.media_type, exchange.options.compression)
    if connection.has_left():
        raise ClientDisconnected
    await connection.start(response.status, headers)
    await _send_body(connection, body, more=True)
    await connection.taken()


async def end(exchange: Exchange) -> None:
    """End a response sent by :func:`hand_over`."""
    await exchange.connection.finish()


class PartedResponse:
    """A response with status 200 that is sent in parts. Each part waits until the network has taken the one before."""

    def __init__(self, exchange: Exchange) -> None:
        self._connection = exchange.connection
        self._media_type = exchange.media_type
        compressed = _may_compress(self._connection, compression=exchange.options.compression)
        self._compress = compressor() if compressed else None

    async def write(self, part: bytes | bytearray) -> None:
        """Send a part. Raises CancelledError if the caller has left: what it has must not look like the whole."""
        await self._write(part, last=False)
        try:
            await self._connection.taken()
        except ConnectionError:
            raise asyncio.CancelledError from None

    async def finish(self, part: bytes | bytearray) -> None:
        """Send the last part."""
        await self._write(part, last=True)
        await self._connection.finish()

    async def _write(self, part: bytes | bytearray, *, last: bool) -> None:
        if not self._connection.started:
            headers = _first_headers(self._connection, Response(), self._media_type)
            if self._compress is not None:
                headers.append(_GZIP)
            await self._connection.start(200, headers)
        if self._connection.method == "HEAD":
            return
        if self._compress is not None:
            part = await asyncio.to_thread(self._compress, part, last)
        if part:
            await _send_body(self._connection, part, more=True)


async def _send_body(connection: Connection, body: bytes | bytearray, *, more: bool) -> None:
    """Send a body, a long one in parts, with flow control between them."""
    if len(body) <= _SMALL:
        # Small bodies are not heavy work, so they need not wait for a time slice.
        await (connection.write if more else connection.finish)(bytes(body))
        return
    view = memoryview(body)
    for start in range(0, len(body), _PART):
        await time_slice()
        end = start + _PART
        await (connection.write if more or end < len(body) else connection.finish)(bytes(view[start:end]))


async def _encoded(
    response: Response, connection: Connection, media_type: str, compression: bool
) -> tuple[Headers, bytes | bytearray]:
    """Return the headers and the body of a response, compressed if possible."""
    method = connection.method
    body = response.body
    headers = _first_headers(connection, response, media_type)
    if response.status != 204:
        compressed = len(body) >= MIN_COMPRESSED_BYTES and _may_compress(connection, compression=compression)
        if compressed:
            headers.append(_GZIP)
            # The response to HEAD may omit the length of the corresponding GET response (RFC 9110, 8.6).
            if method != "HEAD":
                large = len(body) > _COMPRESS_IN_THREAD
                body = await asyncio.to_thread(compress, body) if large else compress(body)
        if method != "HEAD" or not compressed:
            headers.append((b"content-length", b"%d" % len(body)))
        if method == "HEAD":
            body = b""
    return headers, body


def _first_headers(connection: Connection, response: Response, media_type: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response, except for those that depend on its body."""
    headers: list[tuple[bytes, bytes]] = []
    if connection.method in _VARYING:
        headers.append(_VARY)
    headers += response.headers
    content_type = media_type if response.content_type is None else response.content_type
    if response.status != 204 and content_type:
        headers.append((b"content-type", content_type.encode()))
    return headers


def _may_compress(connection: Connection, *, compression: bool) -> bool:
    """Return whether responses are compressed, and the caller accepts that."""
    return compression and connection.method in _VARYING and accepts_gzip(connection.headers.get(b"accept-encoding"))
