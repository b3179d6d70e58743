"""Options of the gRPC server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """Settings of the gRPC face; sizes are bytes."""

    max_message_bytes: int = 64 * 1024 * 1024
    """Maximum size of a request; a larger one fails with RESOURCE_EXHAUSTED."""
    max_response_bytes: int = 4 * 1024 * 1024
    """Maximum size of a response or stream message; a single larger record is sent only if the caller allows it."""
    reuse_port: bool = False
    """Whether several processes may listen on the same port."""
    write_seconds: float = 60.0
    """How long a client may read nothing of a stream before the call is aborted."""
    stream_window_bytes: int = 16 * 1024 * 1024
    """The window of a ProduceStream: bytes read but not yet answered, above which reading pauses."""
