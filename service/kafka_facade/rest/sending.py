"""Sending of complete responses."""

from __future__ import annotations

import asyncio
from typing import Final

from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.connection import Connection, Headers
from kafka_facade.rest.encoding import MIN_COMPRESSED_BYTES, accepts_gzip, compress
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.web.body import ClientDisconnected

_VARY: Final = (b"vary", b"Accept-Encoding")
_VARYING: Final = ("GET", "HEAD", "POST")
_COMPRESS_IN_THREAD: Final = 256 * 1024
# Bytes of a body to write at once.
_PART: Final = 256 * 1024
# Bodies up to this size (bytes) are written without checking the time slice.
_SMALL: Final = 32 * 1024


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
    headers: list[tuple[bytes, bytes]] = []
    if method in _VARYING:
        headers.append(_VARY)
    headers += response.headers
    if response.status != 204:
        content_type = media_type if response.content_type is None else response.content_type
        if content_type:
            headers.append((b"content-type", content_type.encode()))
        compressed = (
            compression
            and len(body) >= MIN_COMPRESSED_BYTES
            and method in _VARYING
            and accepts_gzip(connection.headers.get(b"accept-encoding"))
        )
        if compressed:
            headers.append((b"content-encoding", b"gzip"))
            # The response to HEAD may omit the length of the corresponding GET response (RFC 9110, 8.6).
            if method != "HEAD":
                large = len(body) > _COMPRESS_IN_THREAD
                body = await asyncio.to_thread(compress, body) if large else compress(body)
        if method != "HEAD" or not compressed:
            headers.append((b"content-length", b"%d" % len(body)))
        if method == "HEAD":
            body = b""
    return headers, body
