"""A raw HTTP connection, for requests that no client library sends."""

import asyncio
import socket
import struct
from typing import Any

_SECONDS = 20


class Connection:
    """A bare connection to a gateway's HTTP port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def port(self) -> int:
        """The port of this side."""
        port: int = self._writer.get_extra_info("sockname")[1]
        return port

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the header fields of the next answer."""
        text = await self.until(b"\r\n\r\n")
        status, *fields = text.decode().lower().splitlines()[:-1]
        return int(status.split()[1]), dict(field.split(": ", 1) for field in fields)

    async def answer(self) -> tuple[int, bytes]:
        """The next answer, which has a content-length."""
        status, fields = await self.head()
        return status, await self.exactly(int(fields["content-length"]))

    async def exactly(self, count: int) -> bytes:
        """Read this many bytes."""
        async with asyncio.timeout(_SECONDS):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Read until the other side closes the connection."""
        async with asyncio.timeout(_SECONDS):
            return await self._reader.read()

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(_SECONDS):
            return await self._reader.readuntil(end)

    def abort(self) -> None:
        self._writer.transport.abort()

    def reset(self) -> None:
        """Close the connection with a reset instead of an orderly end."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def half_close(self) -> None:
        """Half-close the connection."""
        self._writer.write_eof()

    def stop_reading(self) -> None:
        """Stop reading from the socket."""
        self._reading(False)

    def read_on(self) -> None:
        """Continue after `stop_reading`."""
        self._reading(True)

    def _reading(self, wanted: bool) -> None:
        transport: Any = self._writer.transport
        # The reader of the stream does the same by itself.
        if wanted is not transport.is_reading():
            (transport.resume_reading if wanted else transport.pause_reading)()
