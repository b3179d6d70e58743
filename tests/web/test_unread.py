"""A connection whose peer does not read is closed; a slow one is not."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

import httpx
import psutil
from websockets.asyncio.client import connect as connect_websocket
from websockets.typing import Subprotocol

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade_devstack.gateway import Gateway

_SETTINGS = {"response.write.timeout.ms": "2000"}
_SMALL = 16_384


async def _until_aborted(gateway: Gateway, port: int) -> None:
    """Wait until the gateway has no connection to a port of this side any more."""
    process = psutil.Process(gateway.child.pid)
    async with asyncio.timeout(60):
        while port in [found.raddr.port for found in process.net_connections("tcp") if found.raddr]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _large(gateway: Gateway, topic: TopicFactory) -> str:
    """A topic with more than the buffers of both systems hold."""
    name = await topic()
    body = {"records": [{"value": "x" * 900_000}] * 8}
    headers = {"content-type": "application/vnd.kafka.json.v2+json"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        for _ in range(2):
            assert (await client.post(f"/topics/{name}", json=body, headers=headers)).status_code == 200
    return name


def _subscription(topic: str) -> dict[str, str]:
    return {"query": f'subscription {{ records(topicName: "{topic}", from: EARLIEST) {{ value {{ base64 text }} }} }}'}


async def test_unread_events(gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect) -> None:
    gateway = await gateway_factory(_SETTINGS)
    body = json.dumps(_subscription(await _large(gateway, topic))).encode()
    connection = await connect(gateway, _SMALL)
    head = "POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    await connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    connection.stop_reading()
    await _until_aborted(gateway, connection.port)


async def test_an_unread_websocket(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory(_SETTINGS)
    name = await _large(gateway, topic)
    url = f"ws://{urlsplit(gateway.graphql).netloc}/graphql"
    protocols = [Subprotocol("graphql-transport-ws")]
    # Compressed, it would fit into the buffers.
    async with connect_websocket(url, subprotocols=protocols, max_size=None, max_queue=1, compression=None) as socket:
        await socket.send('{"type":"connection_init"}')
        assert "connection_ack" in str(await socket.recv())
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": _subscription(name)}))
        await _until_aborted(gateway, socket.local_address[1])


async def test_unread_responses_of_a_stream(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect, cluster_id: str
) -> None:
    gateway = await gateway_factory(_SETTINGS)
    connection = await connect(gateway, _SMALL)
    path = f"/v3/clusters/{cluster_id}/topics/{await topic()}/records"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    await connection.send(head.encode())
    connection.stop_reading()
    records = b'{"value":{"type":"JSON","data":1}}' * 500
    chunk = b"%x\r\n%b\r\n" % (len(records), records)
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while True:
                await connection.send(chunk)


async def test_a_slow_reader_gets_the_whole_response(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect
) -> None:
    gateway = await gateway_factory({"response.write.timeout.ms": "3000"})
    name = await _large(gateway, topic)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        headers = {"content-type": "application/vnd.kafka.v2+json"}
        made = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "fetch.min.bytes": 9_900_000}
        assert (await client.post(f"/consumers/{name}", json=made, headers=headers)).status_code == 200
        body = {"partitions": [{"topic": name, "partition": 0}]}
        where = f"/consumers/{name}/instances/i"
        assert (await client.post(f"{where}/assignments", json=body, headers=headers)).status_code == 204
    connection = await connect(gateway, _SMALL)
    get = f"GET {where}/records?timeout=10000 HTTP/1.1\r\nHost: h\r\nAccept: application/vnd.kafka.json.v2+json\r\n\r\n"
    await connection.send(get.encode())
    status, fields = await connection.head()
    length = int(fields["content-length"])
    assert (status, length > 8_000_000) == (200, True)
    parts = []
    for _ in range(5):
        parts.append(await connection.exactly(length // 5))
        connection.stop_reading()
        await asyncio.sleep(1)
        connection.read_on()
    parts.append(await connection.exactly(length % 5))
    assert len(json.loads(b"".join(parts))) * 900_000 < length
