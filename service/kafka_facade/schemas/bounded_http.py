"""Limits for an httpx client of a server that may be hostile.

The client parses responses on the event loop, in Python: each header, interim response and chunk takes about 20
microseconds, and the library reads up to 64 KiB at once. Therefore reads are small and run in time slices, and a
response is limited in bytes, header bytes and chunks.

The library would take what a server sends behind a response as the answer to the next request. Therefore a connection
with such bytes is closed.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import AsyncIterator, Callable
from http.cookiejar import CookieJar
from typing import Any, Final

from kafka_facade.core.time_slices import time_slice

# Parsing this many bytes of the shortest interim responses or chunks takes about 10 ms.
_PIECE: Final = 8 * 1024
# As much as an event loop receives at once, so that it keeps nothing.
_RECEIVED: Final = 256 * 1024
_MAX_HEAD: Final = 32 * 1024
_MAX_CHUNKS: Final = 5_000
SMALL_ANSWER: Final = 64 * 1024
"""Maximum bytes of an error response, and the default for other responses."""


class BadAnswer(Exception):
    """The server's response does not match its API, or is too large."""


def bound(
    session: Any, *, max_bytes: int = SMALL_ANSWER, reduced: Callable[[bytes], bytes] = lambda content: content
) -> None:
    """Limit the size of an HTTP client's responses, and make it ignore cookies and redirects.

    ``reduced`` returns the needed part of a successful response's content. It may raise BadAnswer, and so may any
    request.
    """
    session.follow_redirects = False
    # A compressed body could expand to a thousand times the counted bytes.
    session.headers["accept-encoding"] = "identity"
    session.cookies = _NoCookies()
    for transport in (session._transport, *session._mounts.values()):
        if transport is not None:
            transport._pool._network_backend = _Backend(transport._pool._network_backend)
    # httpx, or httpx2, which confluent-kafka prefers if it is installed.
    client_type = next(kind for kind in type(session).__mro__ if kind.__name__ == "AsyncClient")
    stream_type: Any = importlib.import_module(client_type.__module__.partition(".")[0]).AsyncByteStream

    class Content(stream_type):  # type: ignore[misc]
        def __init__(self, response: Any) -> None:
            self._stream = response.stream
            self._success = response.is_success
            self._connection = response.extensions.get("network_stream")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            content = await _content(self._stream, max_bytes if self._success else SMALL_ANSWER)
            yield reduced(content) if self._success else content

        async def aclose(self) -> None:
            if isinstance(self._connection, _Stream) and _parser(self._stream).trailing_data[0]:
                self._connection.has_surplus = True
            await self._stream.aclose()

    async def limit(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer("the response is compressed")
        if isinstance(stream := response.extensions.get("network_stream"), _Stream):
            stream.in_head = False
        response.stream = Content(response)

    hooks = session.event_hooks
    session.event_hooks = {**hooks, "response": [*hooks["response"], limit]}


async def _content(stream: AsyncIterator[bytes], max_bytes: int) -> bytes:
    found = bytearray()
    chunks = 0
    async for chunk in stream:
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise BadAnswer(f"the response has more than {_MAX_CHUNKS} chunks")
        found += chunk
        if len(found) > max_bytes:
            raise BadAnswer(f"the response is larger than {max_bytes} bytes")
        await time_slice()
    return bytes(found)


def _parser(stream: Any) -> Any:
    """Return the HTTP parser of a response's connection."""
    while not hasattr(stream, "_connection"):
        stream = stream._httpcore_stream if hasattr(stream, "_httpcore_stream") else stream._stream
    return stream._connection._h11_state


class _NoCookies(CookieJar):
    """Stores and sends no cookies; the library would store all of them without a limit."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass

    def add_cookie_header(self, request: object) -> None:
        pass


class _Backend:
    """The library's network backend, with streams that are read in small pieces."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, *arguments: Any, **options: Any) -> _Stream:
        return _Stream(await self._backend.connect_tcp(*arguments, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Stream:
    """A connection that limits the bytes between a request and the content of its response to ``_MAX_HEAD``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._received = b""
        self.in_head = True
        self.has_surplus = False
        """Whether the parser has bytes left behind a response."""
        self._head = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._received:
            self._received = await self._stream.read(_RECEIVED, timeout)
        size = min(max_bytes, _PIECE)
        piece, self._received = self._received[:size], self._received[size:]
        if self.in_head:
            self._head += len(piece)
            if self._head > _MAX_HEAD:
                raise BadAnswer(f"the response has more than {_MAX_HEAD} bytes of headers and interim responses")
        await time_slice()
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.in_head = True
        self._head = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *arguments: Any, **options: Any) -> _Stream:
        return _Stream(await self._stream.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._has_unread():
            # The library closes an idle connection that is readable before it sends the next request.
            return True
        return self._stream.get_extra_info(info)

    def _has_unread(self) -> bool:
        """Return whether there are bytes behind the response, beside those in the socket."""
        if self.has_surplus or self._received:
            return True
        tls: ssl.SSLObject | None = self._stream.get_extra_info("ssl_object")
        if tls is None:
            return False
        try:
            tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True
