"""Raw Kafka requests, for group members, commits and configs with arbitrary bytes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Self

_OFFSET_COMMIT, _FIND_COORDINATOR, _JOIN_GROUP, _LEAVE_GROUP, _SYNC_GROUP, _ALTER_CONFIGS = 8, 10, 11, 13, 14, 44
_CLUSTER_WIDE = 4
_SECONDS = 30
# The codes of a coordinator that is still starting.
_LATER = (14, 15, 16)


def text(raw: bytes | None) -> bytes:
    """A text of the protocol."""
    return struct.pack(">h", -1) if raw is None else struct.pack(">h", len(raw)) + raw


def block(raw: bytes) -> bytes:
    """Bytes of the protocol."""
    return struct.pack(">i", len(raw)) + raw


def array(entries: Sequence[bytes]) -> bytes:
    """An array of the protocol."""
    return struct.pack(">i", len(entries)) + b"".join(entries)


def assignment(topics: Sequence[tuple[bytes | None, Sequence[int]]]) -> bytes:
    """Encode the assignment of a member."""
    entries = [text(name) + array([struct.pack(">i", number) for number in numbers]) for name, numbers in topics]
    return struct.pack(">h", 0) + array(entries) + struct.pack(">i", -1)


class RawConnection:
    """A connection to the only broker, with a client id of any bytes; leaves the groups that it has joined."""

    def __init__(self, bootstrap_servers: str, client_id: bytes = b"raw") -> None:
        host, _, port = bootstrap_servers.rpartition(":")
        self._address = (host, int(port))
        self._client_id = client_id
        self._joined: list[tuple[bytes, bytes]] = []

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            for group, member in self._joined:
                answer = await self._send(_LEAVE_GROUP, 3, group + array([member]))
                assert struct.unpack(">h", answer[4:6]) == (0,)
        finally:
            self._writer.close()

    async def _send(self, key: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", key, version, 1) + text(self._client_id) + body
        self._writer.write(block(request))
        async with asyncio.timeout(_SECONDS):
            [size] = struct.unpack(">i", await self._reader.readexactly(4))
            return (await self._reader.readexactly(size))[4:]

    async def join(self, group: bytes, instance: bytes, assigned: bytes, protocol: bytes = b"range") -> None:
        """Join a classic group as its only member, with a session timeout of a minute."""
        while True:
            head = text(group) + struct.pack(">ii", 60_000, 60_000) + text(b"") + text(instance)
            answer = await self._send(_JOIN_GROUP, 5, head + text(b"consumer") + array([text(protocol) + block(b"")]))
            error, generation = struct.unpack(">hi", answer[4:10])
            if error not in _LATER:
                break
            # The first group of a cluster waits for the topic of its commits.
            await self._send(_FIND_COORDINATOR, 1, text(group) + b"\0")
            await asyncio.sleep(0.2)
        assert error == 0
        position, texts = 10, []
        for _ in range(3):
            [size] = struct.unpack(">h", answer[position : position + 2])
            texts.append(answer[position + 2 : position + 2 + size])
            position += 2 + size
        me = text(texts[2])
        self._joined.append((text(group), me + text(instance)))
        body = text(group) + struct.pack(">i", generation) + me + text(instance) + array([me + block(assigned)])
        answer = await self._send(_SYNC_GROUP, 3, body)
        assert struct.unpack(">h", answer[4:6]) == (0,)

    async def commit(self, group: bytes, topic: bytes, partition: int, offset: int, metadata: bytes | None) -> int:
        """Commit for a group without members, as tools do, and return the error code."""
        while True:
            entry = struct.pack(">iqi", partition, offset, -1) + text(metadata)
            body = text(group) + struct.pack(">i", -1) + text(b"") + array([text(topic) + array([entry])])
            answer = await self._send(_OFFSET_COMMIT, 6, body)
            [error] = struct.unpack(">h", answer[-2:])
            if error not in _LATER:
                return int(error)
            await self._send(_FIND_COORDINATOR, 1, text(group) + b"\0")
            await asyncio.sleep(0.2)

    async def set_cluster_config(self, name: bytes, value: bytes | None) -> int:
        """Set a config of all brokers, or delete it with None, and return the error code."""
        change = text(name) + (b"\1" if value is None else b"\0") + text(value)
        resource = struct.pack(">b", _CLUSTER_WIDE) + text(b"") + array([change])
        answer = await self._send(_ALTER_CONFIGS, 0, array([resource]) + b"\0")
        return int(struct.unpack(">h", answer[8:10])[0])
