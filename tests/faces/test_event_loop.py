"""Large requests and responses do not block the event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from websockets.asyncio.client import connect

from faces.conftest import MOST_BUSY, Watched
from faces.many_resources import Many, many_resources
from kafka_facade.rpc.gen.v1 import (
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
)
from kafka_facade_devstack.background import BackgroundStack

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

WIDE, WIDE_BYTES = 120, 400_000

# Answers with many objects, and one that would have more than there may be, each with a wait for Kafka in the midst.
LARGE = {
    "nested": """query ($topic: String!) { clusters { topic(topicName: $topic) { partitions { partitionId
      topic { partitions { partitionId replicas { brokerId isLeader } offsets { latestOffset } } } } } } }""",
    "configs": "{ clusters { topics(first: 1000) { nodes { topicName configs { name value } } } } }",
    "replicas": """{ clusters { brokers { partitionReplicas { partition {
      offsets { latestOffset } topic { topicName } } } } } }""",
    "too many": "{ clusters { topics { configs { name topic { topicName } } } } }",
}


@pytest.fixture(scope="module")
async def many(stack: BackgroundStack) -> AsyncIterator[Many]:
    async with many_resources(stack) as made:
        yield made


# Paths below the cluster, and how many bytes their answers have at least.
LISTS: dict[str, Callable[[Many], int]] = {
    "/topics": lambda many: 600 * many.topics,
    "/topics?include_authorized_operations=true": lambda many: 600 * many.topics,
    "/topics/-/configs": lambda many: 30 * 400 * many.topics,
    "/brokers/{broker}/partition-replicas": lambda many: 400 * many.topics * many.partitions,
    "/consumer-groups/{group}/lags": lambda many: 300 * many.topics * many.partitions,
    "/acls?principal=&resource_name={prefix}": lambda many: 300 * many.acls,
}


@pytest.mark.parametrize("path", LISTS)
async def test_a_long_list_does_not_block_the_event_loop(watched: Watched, many: Many, path: str) -> None:
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:
        cluster = "/v3/clusters/" + (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
        broker = (await client.get(cluster + "/brokers")).json()["data"][0]["broker_id"]
        sizes = []

        async def run() -> None:
            answer = await client.get(cluster + path.format(broker=broker, group=many.group, prefix=many.prefix))
            assert answer.status_code == 200
            sizes.append(len(answer.content))

        busy = await watched.quietest(run)
        assert min(sizes) > LISTS[path](many)
        assert busy < MOST_BUSY


@pytest.mark.parametrize("document", LARGE)
async def test_a_large_response_does_not_block_the_event_loop(watched: Watched, many: Many, document: str) -> None:
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:
        answers = []

        async def run() -> None:
            query = {"query": LARGE[document], "variables": {"topic": many.wide}}
            answers.append((await client.post("/graphql", json=query)).json())

        busy = await watched.quietest(run)
        for answer in answers:
            if document == "too many":
                assert "more than 20000 objects" in answer["errors"][0]["message"]
            else:
                assert "errors" not in answer
        assert busy < MOST_BUSY


async def test_large_records_do_not_block_the_event_loop(
    watched: Watched, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for _ in range(WIDE):
        producer.produce(name, bytes(WIDE_BYTES))
    assert await asyncio.to_thread(producer.flush, 60) == 0
    kind = "application/vnd.kafka.v2+json"
    headers = {"content-type": kind, "accept-encoding": "identity"}
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60, headers=headers) as client:
        sizes: list[int] = []

        async def run() -> None:
            settings = {"format": "binary", "auto.offset.reset": "earliest", "consumer.request.timeout.ms": "20000"}
            made = await client.post(f"/consumers/{name}-{len(sizes)}", json=settings)
            instance = made.json()["base_uri"]
            await client.post(f"{instance}/subscription", json={"topics": [name]})
            accept = {"accept": "application/vnd.kafka.binary.v2+json"}
            answer = await client.get(f"{instance}/records?max_bytes={(WIDE - 1) * WIDE_BYTES}", headers=accept)
            sizes.append(len(answer.content))
            await client.delete(instance)

        busy = await watched.quietest(run)
    assert min(sizes) > WIDE_BYTES * (WIDE - 2)
    assert busy < MOST_BUSY


async def _produce_stream(channel: grpc.aio.Channel, topic: str, records: list[record_pb2.RecordToProduce]) -> int:
    """Produce one frame; how many results it has."""
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream()
    await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=topic)))
    await call.write(record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=records)))
    await call.done_writing()
    answer = await call.read()
    assert isinstance(answer, record_pb2.ProduceStreamResponse)
    return len(answer.results)


BAD = {
    "no JSON": ["x"] * 80_000,
    "arrays": ["[" + "[]," * 1_000_000 + "1]"] * 2,
    "many arrays": ["[" + "[]," * 1000 + "1]"] * 1000,
}


@pytest.mark.parametrize("name", BAD)
async def test_frames_of_json_do_not_block_the_event_loop(watched: Watched, topic: TopicFactory, name: str) -> None:
    target = await topic()
    records = [record_pb2.RecordToProduce(value=record_pb2.RecordData(json=text)) for text in BAD[name]]
    async with grpc.aio.insecure_channel(watched.gateway.grpc) as channel:

        async def run() -> None:
            assert await _produce_stream(channel, target, records) == len(records)

        assert await watched.quietest(run) < MOST_BUSY


BODIES = {
    "large value": (200, b'{"records":[{"value":[' + b'{"a":[1]},' * 100_000 + b"1]}]}"),
    "values": (200, b'{"records":[' + b'{"value":[[],[],[],[],[],[],[],[]]},' * 30_000 + b'{"value":1}]}'),
    "empty records": (413, b'{"records":[' + b"{}," * 1_000_000 + b"{}]}"),
    "arrays": (413, b'{"records":[{"value":[' + b"[]," * 4_000_000 + b"[]]}]}"),
    "deep values": (200, b'{"records":[' + (b'{"value":' + b"[" * 100 + b"]" * 100 + b"},") * 1000 + b"{}]}"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_large_bodies_of_records_do_not_block_the_event_loop(
    watched: Watched, topic: TopicFactory, name: str
) -> None:
    target = await topic()
    status, body = BODIES[name]
    headers = {"content-type": "application/vnd.kafka.json.v2+json"}
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:

        async def run() -> None:
            answer = await client.post(f"/topics/{target}", content=body, headers=headers)
            assert answer.status_code == status, answer.text[:300]

        assert await watched.quietest(run) < MOST_BUSY


async def test_large_documents_of_a_stream_do_not_block_the_event_loop(watched: Watched, topic: TopicFactory) -> None:
    target = await topic()
    document = b'{"value":{"type":"JSON","data":[' + b"[]," * 300_000 + b"[]]}}"
    too_large = b'{"value":{"type":"JSON","data":[' + b"[]," * 1_000_000 + b"[]]}}"
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]

        async def run() -> None:
            path = f"/v3/clusters/{cluster}/topics/{target}/records"
            answer = await client.post(path, content=document * 3 + too_large, headers=headers)
            codes = [json.loads(line)["error_code"] for line in answer.text.splitlines()]
            assert codes == [200, 200, 200, 413]

        assert await watched.quietest(run) < MOST_BUSY


async def test_a_large_list_of_topics_is_refused(watched: Watched) -> None:
    headers = {"content-type": "application/vnd.kafka.v2+json"}
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60, headers=headers) as client:
        made = await client.post("/consumers/many-names", json={})

        async def run() -> None:
            content = b'{"topics":[' + b'"a",' * 1_000_000 + b'"a"]}'
            answer = await client.post(f"{made.json()['base_uri']}/subscription", content=content)
            assert answer.status_code == 413, answer.text[:300]

        assert await watched.quietest(run) < MOST_BUSY
        await client.delete(made.json()["base_uri"])


NESTED = {
    "arrays": (200, b"[" + b"[[[[]]]]," * 30_000 + b"1]"),
    "too many arrays": (413, b"[" + b"[[[[]]]]," * 400_000 + b"1]"),
}


@pytest.mark.parametrize("name", NESTED)
async def test_a_large_graphql_body_does_not_block_the_event_loop(watched: Watched, name: str) -> None:
    status, value = NESTED[name]
    body = b'{"query":"{ __typename }","extensions":{"a":' + value + b"}}"
    async with httpx.AsyncClient(timeout=60, headers={"content-type": "application/json"}) as client:

        async def run() -> None:
            answer = await client.post(watched.gateway.graphql, content=body)
            assert answer.status_code == status, answer.text[:300]

        assert await watched.quietest(run) < MOST_BUSY


async def test_long_lists_of_partitions_are_refused(watched: Watched) -> None:
    partition = consumer_instance_pb2.TopicPartition(topic_name="a", partition_id=0)
    request = consumer_instance_pb2.AssignPartitionsRequest(
        consumer_group_id="g", instance_id="i", partitions=[partition] * 500_000
    )
    async with grpc.aio.insecure_channel(watched.gateway.grpc) as channel:

        async def run() -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel).AssignPartitions(request)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        assert await watched.quietest(run) < MOST_BUSY


VARIABLES = {
    "texts": ("[String!]!", 'subscribeConsumer(input: { group: "g", instance: "i", topics: $many })', "a"),
    "objects": ("[RecordInput!]!", 'produceRecords(input: { topicName: "a", records: $many })', {}),
}


@pytest.mark.parametrize("name", VARIABLES)
async def test_long_lists_in_variables_are_refused(watched: Watched, name: str) -> None:
    kind, field, entry = VARIABLES[name]
    query = f"mutation ($many: {kind}) {{ {field} {{ __typename }} }}"
    body = json.dumps({"query": query, "variables": {"many": [entry] * 400_000}}, separators=(",", ":"))
    async with httpx.AsyncClient(timeout=60, headers={"content-type": "application/json"}) as client:

        async def run() -> None:
            answer = await client.post(watched.gateway.graphql, content=body)
            assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"

        assert await watched.quietest(run) < MOST_BUSY


async def test_numbers_in_a_websocket_message_do_not_block_the_event_loop(watched: Watched) -> None:
    url = watched.gateway.graphql.replace("http", "ws", 1)
    numbers = f"[{','.join(['1e-15'] * 400_000)}]"
    payload = f'{{"query":"{{ __typename }}","variables":{{"unused":{numbers}}}}}'
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None) as websocket:  # type: ignore[list-item]
        await websocket.send('{"type":"connection_init"}')
        await websocket.recv()

        async def run() -> None:
            await websocket.send(f'{{"id":"1","type":"subscribe","payload":{payload}}}')
            assert json.loads(await websocket.recv())["type"] == "next"
            assert json.loads(await websocket.recv())["type"] == "complete"

        assert await watched.quietest(run) < MOST_BUSY


async def test_json_of_many_headers_does_not_block_the_event_loop(
    watched: Watched, stack: BackgroundStack, topic: TopicFactory
) -> None:
    target = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    arrays = b"[" + b"[]," * 7600 + b"1]"
    for _ in range(10):
        producer.produce(target, b"value", headers=[("name", arrays)] * 40)
    await asyncio.to_thread(producer.flush, 30)
    asked = f'topicName: "{target}", from: EARLIEST, follow: false'
    query = f"subscription {{ records({asked}) {{ headers {{ value {{ json }} }} }} }}"
    headers = {"accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=60, headers=headers) as client:

        async def run() -> None:
            answer = await client.post(watched.gateway.graphql, json={"query": query})
            assert answer.text.count("[[],") == 400

        assert await watched.quietest(run) < MOST_BUSY


async def test_a_long_list_in_a_json_value_does_not_block_the_event_loop(watched: Watched, topic: TopicFactory) -> None:
    query = """mutation ($topic: String!, $data: JSON!) {
      produceRecords(input: { topicName: $topic, records: [{ value: { format: JSON, data: $data } }] }) {
        results { report { offset } } } }"""
    variables = {"topic": await topic(), "data": [1] * 230_000}
    body = json.dumps({"query": query, "variables": variables}, separators=(",", ":"))
    async with httpx.AsyncClient(timeout=60, headers={"content-type": "application/json"}) as client:

        async def run() -> None:
            answer = await client.post(watched.gateway.graphql, content=body)
            assert answer.json()["data"]["produceRecords"]["results"][0]["report"], answer.text[:300]

        assert await watched.quietest(run) < MOST_BUSY


LARGE_RECORDS = {
    "integers": lambda size: record_pb2.RecordData(json=f"[{'1,' * (size // 2)}1]"),
    "arrays": lambda size: record_pb2.RecordData(json=f"[{'[],' * (size // 3)}1]"),
    "white space": lambda size: record_pb2.RecordData(json=f"[{' ' * size}1]"),
    "a string": lambda size: record_pb2.RecordData(json=f'"{"a" * size}"'),
    "text": lambda size: record_pb2.RecordData(text="a" * size),
    "bytes": lambda size: record_pb2.RecordData(binary=b"a" * size),
}


@pytest.mark.parametrize("size", [4, 16, 31])
@pytest.mark.parametrize("name", LARGE_RECORDS)
async def test_one_large_record_does_not_block_the_event_loop(
    watched: Watched, topic: TopicFactory, name: str, size: int
) -> None:
    record = record_pb2.RecordToProduce(value=LARGE_RECORDS[name](size * 1024 * 1024))
    request = record_pb2.ProduceRecordsRequest(topic_name=await topic(), records=[record])
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:

        async def run() -> None:
            answer = await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(request, timeout=60)
            assert len(answer.results) == 1

        assert await watched.quietest(run) < MOST_BUSY
