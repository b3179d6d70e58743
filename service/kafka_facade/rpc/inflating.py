"""Decompression of messages in time slices, with limits."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from kafka_facade.core.errors import MalformedBody, PayloadTooLarge
from kafka_facade.core.time_slices import time_slice
from kafka_facade.web.content_coding import Gunzip

ALGORITHMS: Final = 1 << grpc.Compression.NoCompression | 1 << grpc.Compression.Gzip
"""What clients may use, for ``grpc.compression_enabled_algorithms_bitset``: gRPC rejects others with UNIMPLEMENTED.

gRPC does not tell which messages are compressed. Those of deflate cannot be distinguished from others.
"""

# The first bytes of gzip (RFC 1952, 2.3.1). No message begins with them: there is no wire type 7.
_MAGIC: Final = b"\x1f\x8b"
_PIECE: Final = 64 * 1024
# The last bytes are the size.
_SIZE_BYTES: Final = 4


def is_gzip(data: bytes) -> bool:
    """Return whether a message is compressed."""
    return data.startswith(_MAGIC)


def inflated_size(data: bytes) -> int:
    """Return the size that a compressed message claims to have (RFC 1952, 2.3.1); :func:`inflated` checks it."""
    return int.from_bytes(data[-_SIZE_BYTES:], "little")


async def inflated(data: bytes, max_bytes: int) -> bytes:
    """Return what a compressed message contains.

    Raises PayloadTooLarge if it is longer than ``max_bytes`` or grows out of proportion, and MalformedBody if it is
    invalid or longer than :func:`inflated_size`.
    """
    position = 0

    async def read() -> tuple[bytes, bool]:
        # The decoder copies what is left of a piece each time.
        nonlocal position
        await time_slice()
        start, position = position, position + _PIECE
        return data[start:position], position < len(data)

    decode = Gunzip(read)
    found: list[bytes] = []
    size, claimed, more = 0, inflated_size(data), True
    try:
        while more:
            piece, more = await decode()
            found.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise PayloadTooLarge(f"The message has more than {max_bytes} bytes once it is decompressed.")
            if size > claimed:
                raise MalformedBody
    except MalformedBody:
        raise MalformedBody("The compressed message isn't valid gzip.") from None
    # Joining does not hold the interpreter lock if it is much.
    return found[0] if len(found) == 1 else await asyncio.to_thread(b"".join, found)
