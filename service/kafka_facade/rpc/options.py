"""Options of the gRPC face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import Address, integer, listeners


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """gRPC."""

    listeners: Sequence[Address] = setting(
        "grpc.listeners", "grpc://0.0.0.0:50051", listeners("grpc", optional_scheme=True)
    )
    """Addresses for gRPC, such as ``0.0.0.0:50051``, comma-separated; empty disables gRPC."""

    max_body_bytes: int = shared.MAX_REQUEST_BODY_SIZE.field()

    body_seconds: float = shared.REQUEST_BODY_TIMEOUT.field()

    max_message_bytes: int = setting("grpc.max.request.bytes", "33554432", integer(1024))
    """Maximum size of a gRPC request, or of a message in a stream, if ``max.request.body.size`` is not smaller. gRPC
    copies a message while it blocks all other calls: 32 MiB take 25 ms, 64 MiB 50 ms."""

    max_response_bytes: int = setting("grpc.max.response.bytes", "4194304", integer(16_384))
    """Maximum size of a gRPC response, or of a message in a stream. gRPC clients accept 4 MiB by default. A larger
    record fails the call unless the call's ``max_bytes`` allows its size; then it is sent in a message of its own."""

    stream_max_in_flight_bytes: int = shared.STREAM_BYTES.field()

    write_seconds: float = shared.RESPONSE_WRITE_TIMEOUT.field()

    workers: int = shared.WORKERS.field()

    @property
    def max_request_bytes(self) -> int:
        """Maximum size of a request message."""
        return min(self.max_body_bytes, self.max_message_bytes)
