"""Readiness probes of the parts of the stack. A probe returns False while the part is not ready, and does not raise."""

import asyncio
import http.client
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kafka_facade_devstack.ports import HOST

_SECONDS = 2.0


async def accepts(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def kafka(bootstrap_servers: str, brokers: int) -> bool:
    """Whether the cluster answers a metadata request and counts that many brokers."""
    return await asyncio.to_thread(_brokers, bootstrap_servers) == brokers


def _brokers(bootstrap_servers: str) -> int:
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100})
    try:
        return len(client.list_topics(timeout=_SECONDS).brokers)
    except KafkaException:
        return 0


async def get(port: int, path: str) -> Any:
    """The JSON that `GET path` answers with status 200, else None."""
    return await asyncio.to_thread(_request, port, lambda client: client.request("GET", path))


async def post(port: int, path: str, document: Any) -> Any:
    """The JSON that a POST of a JSON document answers with status 200, else None."""
    body, headers = json.dumps(document), {"Content-Type": "application/json"}
    return await asyncio.to_thread(_request, port, lambda client: client.request("POST", path, body, headers))


def _request(port: int, send: Callable[[http.client.HTTPConnection], None]) -> Any:
    client = http.client.HTTPConnection(HOST, port, timeout=_SECONDS)
    try:
        send(client)
        response = client.getresponse()
        text = response.read()
        return json.loads(text) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        client.close()


async def grpc_serving(port: int) -> bool:
    """Whether the gRPC health service says SERVING for the whole server."""
    options = [("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
