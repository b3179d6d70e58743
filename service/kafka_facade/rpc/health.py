"""grpc.health.v1: services are SERVING while Kafka answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health

from kafka_facade.core.readiness import Readiness
from kafka_facade.rpc.errors import reporting
from kafka_facade.rpc.receiving import Receiver, require_message

SERVICE: ServiceDescriptor = health_pb2.DESCRIPTOR.services_by_name["Health"]
_OVERALL = ""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class _Servicer(health.HealthServicer):  # type: ignore[misc]
    """The library's servicer, which would fail with INTERNAL on bytes that are not a valid request."""

    async def Check(self, request: Any, context: Any) -> Any:
        async with reporting(context):
            require_message(request)
        return await super().Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:
        async with reporting(context):
            require_message(request)
        await super().Watch(request, context)

    def handlers(self, receiver: Receiver) -> grpc.GenericRpcHandler:
        """Return the handlers to add to the server."""
        request = health_pb2.HealthCheckRequest
        encode = health_pb2.HealthCheckResponse.SerializeToString
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Check": receiver.unary(request, self.Check, encode),
            "Watch": receiver.stream(request, self.Watch, encode),
        }
        return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


class Health:
    """The health service of a server. ``independent`` are the services that do not need Kafka."""

    def __init__(
        self,
        server: grpc.aio.Server,
        readiness: Readiness,
        services: Sequence[str],
        independent: Sequence[str],
        receiver: Receiver,
    ) -> None:
        self._servicer = _Servicer()
        server.add_generic_rpc_handlers([self._servicer.handlers(receiver)])
        self._readiness = readiness
        self._services = [_OVERALL, *(name for name in services if name not in independent)]
        self._independent = [SERVICE.full_name, *independent]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Set the current states and keep them up to date."""
        for name in self._independent:
            await self._servicer.set(name, _SERVING)
        await self._set(self._readiness.ready)
        self._task = asyncio.create_task(self._follow(), name="gRPC health")

    async def stop(self) -> None:
        """Set all services to NOT_SERVING."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._servicer.enter_graceful_shutdown()

    async def _follow(self) -> None:
        async with aclosing(self._readiness.changes()) as changes:
            async for ready in changes:
                await self._set(ready)

    async def _set(self, ready: bool) -> None:
        for name in self._services:
            await self._servicer.set(name, _SERVING if ready else _NOT_SERVING)
