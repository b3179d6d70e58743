"""The gRPC server with services, health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from kafka_facade.core.core import Core
from kafka_facade.rpc import health, reflection
from kafka_facade.rpc.inflating import ALGORITHMS
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.receiving import Receiver
from kafka_facade.rpc.services import SERVICES, handlers

_WITHOUT_KAFKA = ("kafka_facade.v1.ServerService",)
_MINUTE_MS = 60_000
# How long (s) received calls have to start before new ones are rejected.
_HAND_OVER_SECONDS = 0.1


class GrpcServer:
    """Serves the core over gRPC. The services may come from any descriptor pools."""

    def __init__(self, core: Core, options: RpcOptions, services: Sequence[ServiceDescriptor] = SERVICES) -> None:
        pipeline, max_bytes = core.pipeline, options.max_request_bytes
        receiver = Receiver(pipeline.overload, pipeline.deadlines, max_bytes, options.body_seconds)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_bytes),
                # gRPC would decompress messages on the event loop, with no other limit than their size.
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", ALGORITHMS),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(options.workers > 1)),
                # Allow keepalive pings of clients on idle connections, and ping clients to detect dead peers.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 2 * _MINUTE_MS),
                ("grpc.keepalive_timeout_ms", _MINUTE_MS // 3),
            ],
        )
        names = [service.full_name for service in services]
        self._server.add_generic_rpc_handlers(handlers(core, options, receiver, services))
        self._health = health.Health(self._server, core.readiness, names, _WITHOUT_KAFKA, receiver)
        self._server.add_generic_rpc_handlers(reflection.handlers([*services, health.SERVICE], receiver))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen on ``host:port`` and return the port. Raises RuntimeError if it cannot be bound."""
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Start serving and report health."""
        await self._health.start()
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Report NOT_SERVING, reject new calls, and wait up to ``grace`` seconds for running ones."""
        await self._health.stop()
        # gRPC cancels calls that it has received but not started, as happens while many streams end.
        await asyncio.sleep(min(_HAND_OVER_SECONDS, grace / 2))
        await self._server.stop(grace)
