"""Subscriptions to a topic, over graphql-transport-ws and server-sent events."""

import asyncio
import json
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka import Producer
from httpx_sse import aconnect_sse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]

RECORDS = """subscription ($topic: String!, $from: Start!, $partitions: [Int!], $offset: BigInt, $timestamp: DateTime,
  $follow: Boolean! = true, $maxRecords: Int! = 500, $maxBytes: Int! = 131072) {
  records(
    topicName: $topic, from: $from, partitions: $partitions, offset: $offset, timestamp: $timestamp, follow: $follow,
    maxRecords: $maxRecords, maxBytes: $maxBytes
  ) {
    partitionId offset timestamp key { text } value { text json base64 } headers { name value { text } }
  }
}"""


class Socket:
    """A graphql-transport-ws client."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._records: deque[Any] = deque()

    async def send(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            found: dict[str, Any] = json.loads(await self._connection.recv())
        return found

    async def drain(self) -> None:
        """Receive until the connection closes."""
        while True:
            await self.receive()

    async def subscribe(self, id: str, document: object, **variables: Any) -> None:
        await self.send(id=id, type="subscribe", payload={"query": document, "variables": variables})

    async def record(self) -> Any:
        """The next record, from the current or the next event."""
        while not self._records:
            self._records.extend(await self.records())
        return self._records.popleft()

    async def records(self) -> list[Any]:
        """The records of the next event."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        found: list[Any] = message["payload"]["data"]["records"]
        return found


@asynccontextmanager
async def _socket(gateway: Gateway) -> AsyncIterator[Socket]:
    async with connect(gateway.graphql.replace("http", "ws"), subprotocols=["graphql-transport-ws"]) as connection:  # type: ignore[list-item]
        socket = Socket(connection)
        await socket.send(type="connection_init")
        assert await socket.receive() == {"type": "connection_ack"}
        yield socket


def _produce(stack: BackgroundStack, topic: str, *values: bytes | None, partition: int = 0, timestamp: int = 0) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for value in values:
        producer.produce(topic, value, partition=partition, timestamp=timestamp)
    assert producer.flush(20) == 0


async def test_records_are_followed_live(gateway: Gateway, stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    await asyncio.to_thread(_produce, stack, name, b'{"n":1}', b"text", b"\xff", None)
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, topic=name, **{"from": "EARLIEST"})
        values = [(await socket.record())["value"] for _ in range(4)]
        assert values == [
            {"text": '{"n":1}', "json": {"n": 1}, "base64": "eyJuIjoxfQ=="},
            {"text": "text", "json": None, "base64": "dGV4dA=="},
            {"text": None, "json": None, "base64": "/w=="},
            None,
        ]
        await asyncio.to_thread(_produce, stack, name, b"later")
        later = await socket.record()
        assert (later["offset"], later["value"]["text"]) == (4, "later")


async def test_start_positions(gateway: Gateway, stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic(partitions=2)
    for second in range(3):
        await asyncio.to_thread(
            _produce, stack, name, b"v%d" % second, partition=1, timestamp=1_790_000_000_000 + second
        )
    starts: list[tuple[dict[str, Any], list[str]]] = [
        ({"from": "EARLIEST"}, ["v0", "v1", "v2"]),
        ({"from": "OFFSET", "offset": 1}, ["v1", "v2"]),
        ({"from": "TIMESTAMP", "timestamp": "2026-09-21T14:13:20.002Z"}, ["v2"]),
        ({"from": "TIMESTAMP", "timestamp": "1969-12-31T23:59:59.999Z"}, ["v0", "v1", "v2"]),
        ({"from": "TIMESTAMP", "timestamp": "1960-01-01T00:00:00Z"}, ["v0", "v1", "v2"]),
        ({"from": "LATEST"}, []),
        ({"from": "EARLIEST", "partitions": [0]}, []),
    ]
    async with _socket(gateway) as socket:
        for start, expected in starts:
            await socket.subscribe("1", RECORDS, topic=name, follow=False, **start)
            found = []
            while (message := await socket.receive())["type"] == "next":
                found += [record["value"]["text"] for record in message["payload"]["data"]["records"]]
            assert message == {"id": "1", "type": "complete"}
            assert found == expected, start


async def test_an_event_has_the_available_records_within_its_limits(
    gateway: Gateway, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await asyncio.to_thread(_produce, stack, name, *[b"x"] * 700, b"y" * 300_000, b"z")

    async def sizes(**limits: int) -> list[int]:
        found = []
        async with _socket(gateway) as socket:
            await socket.subscribe("1", RECORDS, topic=name, follow=False, **{"from": "EARLIEST"}, **limits)
            while (message := await socket.receive())["type"] == "next":
                found.append(len(message["payload"]["data"]["records"]))
        assert sum(found) == 702
        return found

    assert max(await sizes()) <= 500
    assert len(await sizes()) < 20
    assert set(await sizes(maxRecords=1)) == {1}
    # A record counts for about 100 bytes more than it has; a larger one is alone.
    few = await sizes(maxBytes=1000)
    assert 5 <= max(few) <= 10
    assert few[-2:] == [1, 1]


@pytest.mark.parametrize("limits", [{"maxRecords": 0}, {"maxBytes": -1}])
async def test_limits_of_an_event_are_positive(gateway: Gateway, topic: TopicFactory, limits: dict[str, int]) -> None:
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, topic=await topic(), **{"from": "EARLIEST"}, **limits)
        [error] = (await socket.receive())["payload"]["errors"]
    assert error["extensions"]["code"] == "INVALID_REQUEST"
    assert "at least 1" in error["message"]


async def test_several_subscriptions_share_a_connection(
    gateway: Gateway, stack: BackgroundStack, topic: TopicFactory
) -> None:
    one, two = await topic(), await topic()
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, topic=one, **{"from": "EARLIEST"})
        await socket.subscribe("2", RECORDS, topic=two, **{"from": "EARLIEST"})
        await socket.subscribe("3", "{ server { name } }")
        assert (await socket.receive())["payload"] == {"data": {"server": {"name": "kafka-facade"}}}
        assert await socket.receive() == {"id": "3", "type": "complete"}
        await asyncio.to_thread(_produce, stack, two, b"b")
        assert (await socket.receive())["id"] == "2"
        await asyncio.to_thread(_produce, stack, one, b"a")
        assert (await socket.receive())["id"] == "1"


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"topic": "no-such-topic", "from": "LATEST"}, "TOPIC_NOT_FOUND"),
        ({"topic": "_schemas", "from": "LATEST", "partitions": [99]}, "PARTITION_NOT_FOUND"),
    ],
)
async def test_a_failed_subscription_sends_an_error_and_ends(
    gateway: Gateway, variables: dict[str, Any], code: str
) -> None:
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, **variables)
        message = await socket.receive()
        assert message["payload"]["data"] is None
        assert message["payload"]["errors"][0]["extensions"]["code"] == code
        assert await socket.receive() == {"id": "1", "type": "complete"}
        await socket.subscribe("2", "subscription { nope }")
        refused = await socket.receive()
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        for document, code in (
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ server { name } } #" + "x" * 65536, "PAYLOAD_TOO_LARGE"),
            (5, "BAD_REQUEST"),
        ):
            await socket.subscribe("3", document)
            refused = await socket.receive()
            assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", code)


async def test_a_message_over_the_limit_ends_the_connection(gateway: Gateway) -> None:
    async with _socket(gateway) as socket:
        with suppress(ConnectionClosed):
            await socket.subscribe("1", "{ server { name } }", data="x" * 5 * 1024 * 1024)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def _client_threads(gateway: Gateway) -> int:
    """How many threads the gateway's Kafka clients have: each consumer has some of its own."""
    names = []
    for path in Path(f"/proc/{gateway.child.pid}/task").glob("*/comm"):
        # A thread may end while they are counted.
        with suppress(OSError):
            names.append(path.read_text())
    return sum(name.startswith("rdk:") for name in names)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are told by name in /proc")
async def test_unsubscribing_and_leaving_close_the_kafka_consumer(
    gateway: Gateway, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await asyncio.to_thread(_produce, stack, name, b"x")
    idle = _client_threads(gateway)

    async def closed() -> bool:
        for _ in range(50):
            if _client_threads(gateway) <= idle:
                return True
            await asyncio.sleep(0.1)
        return False

    async with _socket(gateway) as socket:
        for number in range(5):
            await socket.subscribe(str(number), RECORDS, topic=name, **{"from": "EARLIEST"})
            await socket.record()
        assert _client_threads(gateway) >= idle + 5
        for number in range(5):
            await socket.send(id=str(number), type="complete")
        assert await closed()
        for number in range(5):
            await socket.subscribe(str(number), RECORDS, topic=name, **{"from": "EARLIEST"})
            await socket.record()
    assert await closed()


async def _events(client: httpx.AsyncClient, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """The events of an operation, as a parser of the standard sees them."""
    found = []
    async with aconnect_sse(client, "POST", "/graphql", json=body) as source:
        async for event in source.aiter_sse():
            assert (event.id, event.retry) == ("", None)
            found.append((event.event, event.data and event.json()))
    return found


async def test_server_sent_events(client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    # The line breaks of the format, and of other standards; and what looks like a field.
    values = ["one", "a\nb", "a\r\nb\rc", "data: x\n\nevent: complete\n\n", "\u2028\u2029\x85\x0b\x0c\ufeff", ":", ""]
    await asyncio.to_thread(_produce, stack, name, *(value.encode() for value in values))
    body = {"query": RECORDS, "variables": {"topic": name, "from": "EARLIEST", "follow": False, "maxRecords": 1}}
    *events, end = await _events(client, body)
    assert [kind for kind, _ in events] == ["next"] * len(values)
    found = [record["value"]["text"] for _, result in events for record in result["data"]["records"]]
    assert found == values
    assert end == ("complete", "")


async def test_a_failure_as_server_sent_events(client: httpx.AsyncClient) -> None:
    body = {"query": RECORDS, "variables": {"topic": "no such topic", "from": "EARLIEST"}}
    (kind, result), end = await _events(client, body)
    assert kind == "next"
    assert result["errors"][0]["extensions"]["code"] == "INVALID_TOPIC_NAME"
    assert end == ("complete", "")


async def test_aliases_do_not_multiply_the_bytes_of_an_event(
    gateway: Gateway, client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await asyncio.to_thread(_produce, stack, name, *[b"x" * 900_000] * 3)
    follow = "subscription ($topic: String!) { records(topicName: $topic, from: EARLIEST, follow: false) { %s } }"
    forms = "{ text json base64 size }"
    attack = follow % " ".join(f"a{number}: value {forms}" for number in range(29))
    ordinary = follow % f"value {forms}"
    events = {"accept": "text/event-stream"}
    refused = await client.post("/graphql", json={"query": attack, "variables": {"topic": name}}, headers=events)
    assert "GRAPHQL_VALIDATION_FAILED" in refused.text
    assert len(refused.content) < 2_000
    async with connect(
        gateway.graphql.replace("http", "ws"),
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        max_size=4 * 1024 * 1024,
    ) as connection:
        socket = Socket(connection)
        await socket.send(type="connection_init")
        await socket.receive()
        await socket.subscribe("1", attack, topic=name)
        answer = await socket.receive()
        assert answer["type"] == "error"
        assert answer["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        await socket.subscribe("2", ordinary, topic=name)
        for _ in range(3):
            [record] = await socket.records()
            assert (record["value"]["size"], len(record["value"]["text"])) == (900_000, 900_000)
            assert len(record["value"]["base64"]) == 1_200_000
        assert (await socket.receive())["type"] == "complete"


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "5",
        "[]",
        '{"type": 5}',
        '{"type": "subscribe", "id": [], "payload": 5}',
        '{"type": "subscribe", "id": 5, "payload": {"query": "{ server { name } }"}}',
        json.dumps({"type": "\u00e9" * 1000}),
    ],
)
async def test_a_malformed_message_closes_the_connection(gateway: Gateway, message: str) -> None:
    async with connect(gateway.graphql.replace("http", "ws"), subprotocols=["graphql-transport-ws"]) as connection:  # type: ignore[list-item]
        await connection.send('{"type": "connection_init"}')
        await connection.recv()
        await connection.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(connection.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


async def test_a_duplicate_id_closes_the_connection(gateway: Gateway, topic: TopicFactory) -> None:
    name = await topic()
    document = f'subscription {{ records(topicName: "{name}") {{ offset }} }}'
    async with connect(gateway.graphql.replace("http", "ws"), subprotocols=["graphql-transport-ws"]) as connection:  # type: ignore[list-item]
        await connection.send('{"type": "connection_init"}')
        await connection.recv()
        for _ in range(2):
            await connection.send(json.dumps({"type": "subscribe", "id": "i" * 1000, "payload": {"query": document}}))
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(connection.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


async def test_the_number_of_operations_of_a_connection_is_limited(gateway: Gateway, topic: TopicFactory) -> None:
    document = f'subscription {{ records(topicName: "{await topic()}") {{ offset }} }}'
    async with _socket(gateway) as socket:
        for number in range(101):
            await socket.send(type="subscribe", id=str(number), payload={"query": document})
        answer = await socket.receive()
        assert (answer["id"], answer["type"]) == ("100", "error")
        assert answer["payload"][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"


async def test_the_legacy_protocol_is_not_supported(gateway: Gateway) -> None:
    async with connect(gateway.graphql.replace("http", "ws"), subprotocols=["graphql-ws"]) as connection:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(connection.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4406


async def test_back_pressure_on_a_slow_reader(
    gateway_factory: Callable[..., Awaitable[Gateway]], stack: BackgroundStack, topic: TopicFactory
) -> None:
    gateway = await gateway_factory()
    name = await topic()
    payload = b"x" * 50_000
    await asyncio.to_thread(_produce, stack, name, *[payload] * 2500)
    process = psutil.Process(gateway.child.pid)
    before = process.memory_info().rss
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, topic=name, **{"from": "EARLIEST"})
        await socket.record()
        sizes = []
        for _ in range(6):
            await asyncio.sleep(0.5)
            sizes.append(process.memory_info().rss)
        # 125 MB are in the topic: what is held is the consumer's bounded queue, one batch, and the socket's buffers.
        assert max(sizes) - before < 90 * 1024 * 1024


async def test_shutdown_ends_a_subscription(
    gateway_factory: Callable[..., Awaitable[Gateway]], topic: TopicFactory
) -> None:
    gateway = await gateway_factory()
    name = await topic()
    async with _socket(gateway) as socket:
        await socket.subscribe("1", RECORDS, topic=name, **{"from": "EARLIEST"})
        await asyncio.sleep(1)
        os.kill(gateway.child.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.drain()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert await asyncio.to_thread(psutil.Process(gateway.child.pid).wait, 15) in (0, None)
