"""Raw websocket frames, for what no client library sends."""

import struct

HEAD = b"\r\n".join(
    (
        b"GET /graphql HTTP/1.1",
        b"Host: h",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Protocol: graphql-transport-ws",
    )
)
"""The head of a handshake, to which fields may be added."""

FIN, COMPRESSED = 0x80, 0x40
CONT, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10


def frame(first: int, data: bytes) -> bytes:
    """A frame whose mask is zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BQ", 0xFF, size)
    return bytes([first]) + length + bytes(4) + data
