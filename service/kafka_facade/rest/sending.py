"""Complete answers on their way to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from kafka_facade.rest.encoding import MIN_COMPRESSED_BYTES, accepts_gzip, compress
from kafka_facade.rest.exchange import RESPONSE_STARTED, Exchange, Message, Response, Scope, Send
from kafka_facade.web.scope import until_taken

_VARY: Final = (b"vary", b"Accept-Encoding")
_VARYING: Final = ("GET", "HEAD", "POST")
_COMPRESS_IN_THREAD: Final = 256 * 1024


async def send_response(
    response: Response,
    scope: Scope,
    request_headers: Mapping[bytes, bytes],
    send: Send,
    media_type: str,
    compression: bool,
) -> None:
    """Send an answer; ``media_type`` is the one that was negotiated."""
    for message in await _messages(response, scope, request_headers, media_type, compression):
        await send(message)


async def hand_over(exchange: Exchange, response: Response) -> None:
    """Send an answer but for its end, and return once the caller's system has it; ConnectionError where it won't.

    The caller may have it all by then, but the connection is still that of this answer, until :func:`end` is called.
    """
    head, body = await _messages(
        response, exchange.scope, exchange.headers, exchange.media_type, exchange.options.compression
    )
    exchange.scope[RESPONSE_STARTED] = True
    await exchange.send(head)
    await exchange.send({**body, "more_body": True})
    await until_taken(exchange.scope)


async def end(exchange: Exchange) -> None:
    """End an answer that was handed over."""
    await exchange.send({"type": "http.response.body", "body": b""})


async def _messages(
    response: Response, scope: Scope, request_headers: Mapping[bytes, bytes], media_type: str, compression: bool
) -> tuple[Message, Message]:
    method: str = scope["method"]
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
            and accepts_gzip(request_headers.get(b"accept-encoding"))
        )
        if compressed:
            headers.append((b"content-encoding", b"gzip"))
            # For HEAD, the length of a GET's answer may be left out (RFC 9110, 8.6).
            if method != "HEAD":
                large = len(body) > _COMPRESS_IN_THREAD
                body = await asyncio.to_thread(compress, body) if large else compress(body)
        if method != "HEAD" or not compressed:
            headers.append((b"content-length", b"%d" % len(body)))
        if method == "HEAD":
            body = b""
    return (
        {"type": "http.response.start", "status": response.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )
