"""The gRPC server: services, health and reflection on one port or several."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from kafka_facade.core.facade import Facade
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.services import SERVICES, handlers

_OVERALL = ""
_MINUTE_MS = 60_000


class GrpcServer:
    """The gRPC face of a facade."""

    def __init__(self, facade: Facade, options: RpcOptions) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(options.reuse_port)),
                # Clients may ping an idle connection this often; a peer that is gone is noticed the same way.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 2 * _MINUTE_MS),
                ("grpc.keepalive_timeout_ms", _MINUTE_MS // 3),
            ]
        )
        self._health = health.HealthServicer()
        self._server.add_generic_rpc_handlers(handlers(facade, options))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.full_name for service in SERVICES]
        reflection.enable_server_reflection(
            [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
            self._server,
        )
        self._names = [_OVERALL, *names]

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen on ``host:port`` and return the port; RuntimeError if it can't be had."""
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Begin to serve, and say so to health checks."""
        await self._server.start()
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Tell health checks, take no more calls, and wait up to ``grace`` seconds for those that run."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
