"""Fetches whose caller does not take the answer: the next fetch of the instance returns the same records.

There are two workers: any of them may get a call, and hands it to the one that holds the instance.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.typing import Subprotocol

from conftest import Connect, GatewayFactory, TopicFactory
from http_connection import Connection
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2 as instances
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 60
# Unread responses are aborted after this time.
_SETTINGS = {"response.write.timeout.ms": "2000", "workers": "2"}
_V2 = {"content-type": "application/vnd.kafka.v2+json"}
_BINARY = "application/vnd.kafka.binary.v2+json"
# Together they are larger than what both systems hold of a connection, and fit into one fetch.
_RECORDS, _LARGE = 100, 220_000
_GRPC_BYTES = 64 * 1024 * 1024
# Each of the workers gets one at least, as good as certainly.
_STALLED = 6
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]


@pytest.fixture
async def started(gateway_factory: GatewayFactory) -> AsyncIterator[Gateway]:
    """A gateway whose log must have no error at the end of the test: disconnects are not errors."""
    gateway = await gateway_factory(_SETTINGS)
    yield gateway
    log = gateway.child.log.read_text()
    assert " ERROR " not in log, log


async def filled(gateway: Gateway, topic: TopicFactory) -> tuple[str, str]:
    """A group with the instance `i`, which is assigned a topic with so many records; the topic."""
    name, group = await topic(), f"g-{uuid.uuid4()}"
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        body = {"records": [{"value": "AAAA" * (_LARGE // 4)}] * 4}
        for _ in range(_RECORDS // 4):
            sent = await client.post(f"/topics/{name}", json=body, headers={"content-type": _BINARY})
            assert sent.status_code == 200
        settings = {"name": "i", "format": "binary", "auto.offset.reset": "earliest", "fetch.min.bytes": 5_000_000}
        assert (await client.post(f"/consumers/{group}", json=settings, headers=_V2)).status_code == 200
        wanted = {"partitions": [{"topic": name, "partition": 0}]}
        path = f"/consumers/{group}/instances/i/assignments"
        assert (await client.post(path, json=wanted, headers=_V2)).status_code == 204
    return group, name


async def all_offsets(gateway: Gateway, group: str) -> list[int]:
    """Read the remaining records of the instance."""
    found: list[int] = []
    # One of the calls that are given up may still read: this one waits for its turn.
    async with asyncio.timeout(_SECONDS), httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        while len(found) < _RECORDS:
            path = f"/consumers/{group}/instances/i/records"
            answer = await client.get(path, params={"timeout": 1000}, headers={"accept": _BINARY})
            assert answer.status_code == 200, answer.text
            found += [record["offset"] for record in answer.json()]
    return found


async def committed(gateway: Gateway, group: str, topic: str) -> list[int]:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        wanted = {"partitions": [{"topic": topic, "partition": 0}]}
        path = f"/consumers/{group}/instances/i/offsets"
        assert (await client.post(path, headers=_V2)).status_code == 200
        found = await client.request("GET", path, json=wanted)
        return [entry["offset"] for entry in found.json()["offsets"]]


def graphql_fetch(group: str) -> str:
    return f"""mutation {{ fetchConsumerRecords(input: {{group: "{group}", instance: "i", timeoutMs: 3000}}) {{
        records {{ record {{ offset value {{ base64 }} }} }} }} }}"""


def read(group: str) -> bytes:
    path = f"/consumers/{group}/instances/i/records?timeout=3000"
    return f"GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {_BINARY}\r\n\r\n".encode()


async def stalled(gateway: Gateway, connect: Connect, request: bytes, beginning: bytes = b"") -> Connection:
    """A connection with a response that has begun and is not read."""
    connection = await connect(gateway, 16_384)
    await connection.send(request)
    await connection.head()
    if beginning:
        await connection.until(beginning)
    connection.stop_reading()
    return connection


async def test_undelivered_records_on_rest(started: Gateway, topic: TopicFactory, connect: Connect) -> None:
    group, name = await filled(started, topic)
    for number in range(_STALLED):
        connection = await stalled(started, connect, read(group))
        # Some leave, others are given up.
        if number:
            connection.abort()
    # Nothing was returned: the position of the instance is still its start.
    assert await committed(started, group, name) == [0]
    assert await all_offsets(started, group) == list(range(_RECORDS))
    assert await committed(started, group, name) == [_RECORDS]


async def test_undelivered_records_on_grpc(started: Gateway, topic: TopicFactory) -> None:
    group, name = await filled(started, topic)
    where: dict[str, Any] = {"consumer_group_id": group, "instance_id": "i", "timeout_ms": 3000}
    request = instances.FetchRecordsRequest(**where)
    for number in range(_STALLED):
        options = [*_SMALL_WINDOW, ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(started.grpc, options=options) as channel:
            method: grpc.aio.UnaryStreamMultiCallable[Any, bytes] = channel.unary_stream(
                "/kafka_facade.v1.ConsumerInstanceService/FetchRecords",
                instances.FetchRecordsRequest.SerializeToString,
            )
            call = method(request, timeout=5 if number else None)
            await call.initial_metadata()
            if not number:
                call.cancel()
            expected = grpc.StatusCode.DEADLINE_EXCEEDED if number else grpc.StatusCode.CANCELLED
            if number < 3:
                assert await call.code() is expected
    assert await committed(started, group, name) == [0]
    assert await all_offsets(started, group) == list(range(_RECORDS))


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_undelivered_records_on_graphql(
    started: Gateway, topic: TopicFactory, connect: Connect, accept: str
) -> None:
    group, name = await filled(started, topic)
    body = json.dumps({"query": graphql_fetch(group)}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
    for number in range(_STALLED):
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        connection = await stalled(started, connect, request, b"event: next" if "event" in accept else b"")
        if number:
            connection.abort()
    assert await committed(started, group, name) == [0]
    assert await all_offsets(started, group) == list(range(_RECORDS))


async def test_undelivered_records_on_a_websocket(started: Gateway, topic: TopicFactory) -> None:
    group, name = await filled(started, topic)
    url = f"ws://{urlsplit(started.graphql).netloc}/graphql"
    for _ in range(_STALLED):
        socket = await connect_websocket(
            url, subprotocols=[Subprotocol("graphql-transport-ws")], max_size=None, compression=None
        )
        await socket.send('{"type":"connection_init"}')
        assert "connection_ack" in str(await socket.recv())
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": graphql_fetch(group)}}))
        socket.transport.pause_reading()
        # By then its answer is under way, most probably.
        await asyncio.sleep(1)
        socket.transport.abort()
    assert sum(await committed(started, group, name)) == 0
    assert await all_offsets(started, group) == list(range(_RECORDS))


async def test_records_that_do_not_fit_into_a_response(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"graphql.max.objects": "3"})
    both = [await filled(gateway, topic) for _ in range(2)]
    # Each returns at least one record, which is two objects.
    fields = " ".join(
        f'{key}: fetchConsumerRecords(input: {{group: "{group}", instance: "i"}}) '
        "{ records { record { offset } } }"
        for key, (group, _) in zip("ab", both, strict=True)
    )
    async with httpx.AsyncClient(timeout=_SECONDS) as client:
        answer = await client.post(gateway.graphql, json={"query": f"mutation {{ {fields} }}"})
    assert answer.json()["data"] is None
    assert "objects" in answer.json()["errors"][0]["message"]
    for group, name in both:
        assert await committed(gateway, group, name) == [0]
        assert await all_offsets(gateway, group) == list(range(_RECORDS))


async def test_a_mutation_continues_after_its_fetch(started: Gateway, topic: TopicFactory) -> None:
    group, name = await filled(started, topic)
    where = f'input: {{group: "{group}", instance: "i"}}'
    document = f"""mutation {{
        first: fetchConsumerRecords({where}) {{
            records {{ record {{ offset }} }} consumer {{ assignments {{ partitionId }} }}
        }}
        commitConsumerOffsets({where}) {{ __typename }}
        second: fetchConsumerRecords({where}) {{ records {{ record {{ offset }} }} }}
    }}"""
    async with httpx.AsyncClient(timeout=_SECONDS) as client:
        answer = (await client.post(started.graphql, json={"query": document})).json()
    assert "errors" not in answer
    found = [
        [int(entry["record"]["offset"]) for entry in answer["data"][key]["records"]] for key in ("first", "second")
    ]
    assert found[0]
    assert found[0] + found[1] == list(range(len(found[0]) + len(found[1])))
    # The answer is there: all of it counts.
    assert await committed(started, group, name) == [len(found[0]) + len(found[1])]


async def test_delivered_records_are_committed_through_any_worker(started: Gateway, topic: TopicFactory) -> None:
    group, name = await filled(started, topic)
    returned = 0
    async with asyncio.timeout(_SECONDS), httpx.AsyncClient(base_url=started.rest, timeout=_SECONDS) as client:
        path = f"/consumers/{group}/instances/i/records"
        while returned < _RECORDS:
            answer = await client.get(path, params={"timeout": 1000, "max_bytes": 1}, headers={"accept": _BINARY})
            returned += len(answer.json())
            # On a connection of its own, to any of the workers.
            assert await committed(started, group, name) == [returned]


async def test_a_connection_continues_after_a_slow_response(
    started: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    group, name = await filled(started, topic)
    connection = await connect(started, 16_384)
    found: list[int] = []
    async with asyncio.timeout(_SECONDS):
        while len(found) < _RECORDS:
            await connection.send(read(group))
            status, fields = await connection.head()
            assert status == 200
            connection.stop_reading()
            await asyncio.sleep(0.5)
            connection.read_on()
            found += [
                record["offset"] for record in json.loads(await connection.exactly(int(fields["content-length"])))
            ]
    assert found == list(range(_RECORDS))
    assert await committed(started, group, name) == [_RECORDS]
