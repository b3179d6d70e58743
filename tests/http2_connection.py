"""A raw HTTP/2 connection, for gRPC requests that no client library sends."""

from __future__ import annotations

import asyncio
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError

_SECONDS = 30


class Http2Connection:
    """A connection with streams whose messages need not be complete.

    Unless it ``reads``, it lets no more be sent, until :meth:`read_on`.
    """

    def __init__(self, address: str, *, reads: bool = True) -> None:
        self._reads = reads
        # What has been received without letting more be sent: sizes and streams.
        self._unread: list[tuple[int, int]] = []
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._http = H2Connection(H2Configuration(client_side=True))
        self._changed = asyncio.Event()
        self._ended: dict[int, dict[str, str]] = {}

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._http.initiate_connection()
        self._writer.write(self._http.data_to_send())
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.transport.abort()

    async def _read(self) -> None:
        while data := await self._reader.read(65_536):
            for event in self._http.receive_data(data):
                if isinstance(event, DataReceived):
                    self._unread.append((event.flow_controlled_length, event.stream_id))
                elif isinstance(event, ResponseReceived | TrailersReceived):
                    self._ended.setdefault(event.stream_id, {}).update(
                        {_text(name): _text(value) for name, value in event.headers or ()}
                    )
                elif isinstance(event, StreamReset):
                    self._ended.setdefault(event.stream_id, {})
            if self._reads:
                self._acknowledge()
            self._writer.write(self._http.data_to_send())
            self._changed.set()

    def _acknowledge(self) -> None:
        for size, stream in self._unread:
            self._http.acknowledge_received_data(size, stream)
        self._unread.clear()

    def read_on(self) -> None:
        """Let more be sent from now on."""
        self._reads = True
        self._acknowledge()
        self._writer.write(self._http.data_to_send())

    async def closed(self) -> None:
        """Wait for the end of the connection."""
        await asyncio.gather(self._reading, return_exceptions=True)

    async def begun(self, stream: int) -> None:
        """Wait for the head of a response."""
        async with asyncio.timeout(_SECONDS):
            while stream not in self._ended:
                self._changed.clear()
                await self._changed.wait()

    def call(self, method: str) -> int:
        """Begin a call, and return its stream."""
        stream = self._http.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "gateway", "te": "trailers"}
        self._http.send_headers(stream, list((head | {"content-type": "application/grpc"}).items()))
        self._writer.write(self._http.data_to_send())
        return stream

    async def send(self, stream: int, data: bytes) -> None:
        """Send data, as the other side allows it, until the stream ends."""
        while data and stream not in self._ended:
            try:
                size = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size, len(data))
                if size:
                    self._http.send_data(stream, data[:size])
            except ProtocolError:
                return
            if size:
                data = data[size:]
                self._writer.write(self._http.data_to_send())
                await self._writer.drain()
            else:
                self._changed.clear()
                await self._changed.wait()

    async def status(self, stream: int) -> tuple[str, str]:
        """Wait for the status of a call, and return it with its message."""
        async with asyncio.timeout(_SECONDS):
            while "grpc-status" not in (found := self._ended.get(stream, {})):
                self._changed.clear()
                await self._changed.wait()
        return found["grpc-status"], found.get("grpc-message", "")


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def message(size: int, content: bytes) -> bytes:
    """The head of a message of this size, with the first part of its content."""
    return b"\0" + size.to_bytes(4, "big") + content
