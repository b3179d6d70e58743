"""Bounds on what an HTTP client of httpx reads, for a server that may be hostile.

The client runs on the event loop, in Python: each header, interim answer and chunk takes some 20 microseconds there,
and the library reads up to 64 KiB at once. So it gets little at a time, in time slices, and an answer has bounds in
bytes, headers and chunks.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from http.cookiejar import CookieJar
from typing import Any, Final

from kafka_facade.core.time_slices import time_slice

# So many bytes of the shortest interim answers or chunks are gone through in some 10 ms.
_PIECE: Final = 8 * 1024
_MAX_HEAD: Final = 32 * 1024
_MAX_CHUNKS: Final = 5_000
SMALL_ANSWER: Final = 64 * 1024
"""The most bytes of an error, or of any answer that nothing is said of."""


class BadAnswer(Exception):
    """The server's answer is none that its API has, or is too large."""


def bound(
    session: Any, *, max_bytes: int = SMALL_ANSWER, reduced: Callable[[bytes], bytes] = lambda content: content
) -> None:
    """Have an HTTP client read answers up to a size, keep no cookies, and follow no redirects.

    ``reduced`` returns what is needed of the content of a success; it may raise BadAnswer, as any request may.
    """
    session.follow_redirects = False
    # What is compressed could be a thousand times larger than what is counted.
    session.headers["accept-encoding"] = "identity"
    session.cookies = _NoCookies()
    for transport in (session._transport, *session._mounts.values()):
        if transport is not None:
            transport._pool._network_backend = _Backend(transport._pool._network_backend)
    # httpx, or the httpx2 that confluent-kafka prefers where it is there.
    client_type = next(kind for kind in type(session).__mro__ if kind.__name__ == "AsyncClient")
    stream_type: Any = importlib.import_module(client_type.__module__.partition(".")[0]).AsyncByteStream

    class Content(stream_type):  # type: ignore[misc]
        def __init__(self, response: Any) -> None:
            self._stream = response.stream
            self._success = response.is_success

        async def __aiter__(self) -> AsyncIterator[bytes]:
            content = await _content(self._stream, max_bytes if self._success else SMALL_ANSWER)
            yield reduced(content) if self._success else content

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def limit(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer("the answer is compressed")
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
            raise BadAnswer(f"the answer comes in more than {_MAX_CHUNKS} chunks")
        found += chunk
        if len(found) > max_bytes:
            raise BadAnswer(f"the answer is larger than {max_bytes} bytes")
        await time_slice()
    return bytes(found)


class _NoCookies(CookieJar):
    """Neither keeps nor sends any; the library would keep all, without a bound."""

    def extract_cookies(self, response: object, request: object) -> None:
        pass

    def add_cookie_header(self, request: object) -> None:
        pass


class _Backend:
    """The library's network backend, with streams that are read piece by piece."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, *arguments: Any, **options: Any) -> _Stream:
        return _Stream(await self._backend.connect_tcp(*arguments, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Stream:
    """A connection. Between a request and the content of its answer it may be sent so many bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.in_head = True
        self._head = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece: bytes = await self._stream.read(min(max_bytes, _PIECE), timeout)
        if self.in_head:
            self._head += len(piece)
            if self._head > _MAX_HEAD:
                raise BadAnswer(f"the answer has more than {_MAX_HEAD} bytes of headers and interim answers")
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
        return self._stream.get_extra_info(info)
