"""What the gRPC server can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """Settings of the gRPC face; sizes are bytes."""

    max_message_bytes: int = 64 * 1024 * 1024
    """The largest message that is taken; a larger one is refused with RESOURCE_EXHAUSTED."""
    max_response_bytes: int = 4 * 1024 * 1024
    """The largest answer, or frame of a stream; a record that is larger alone is sent where the caller allows it."""
    reuse_port: bool = False
    """Whether several processes may listen on the same port."""
    write_seconds: float = 60.0
    """How long a caller may take nothing of what a stream sends; the call ends then."""
    stream_window_bytes: int = 16 * 1024 * 1024
    """How much a ProduceStream may have under way, read and not yet answered, before reading waits."""
