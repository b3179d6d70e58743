"""Stages of the pipeline are notified of the outcome of each call, on all faces."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.empty_pb2 import Empty

from conftest import TopicFactory
from kafka_facade.core.call import Call
from kafka_facade.core.core import Core
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.outcome import Outcome
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.rest.app import create_app as create_rest_app
from kafka_facade.rest.options import RestOptions
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.server import GrpcServer
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_graphql.app import create_app as create_graphql_app
from kafka_facade_graphql.options import GraphQLOptions
from kafka_identities import SECONDS, new_pool

_V2 = {"content-type": "application/vnd.kafka.v2+json"}
_V2_JSON = {"content-type": "application/vnd.kafka.json.v2+json"}


class Observer:
    """A stage that keeps the outcome of each call."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Outcome]] = []
        self.entered, self.left = asyncio.Event(), asyncio.Event()

    def enter(self, call: Call) -> None:
        """Admit every call."""
        self.entered.set()

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Keep the outcome."""
        self.seen.append((call.operation.identifier, call.outcome(error)))
        self.left.set()

    def take(self, identifier: str) -> tuple[str, int, int]:
        """The code, the records and the bytes of the one call of an operation; forget all."""
        [outcome] = [outcome for name, outcome in self.seen if name == identifier]
        self.seen.clear()
        self.entered.clear()
        self.left.clear()
        assert 0 <= outcome.seconds < SECONDS
        return outcome.code, outcome.records, outcome.size


@dataclass
class Faces:
    """REST, GraphQL and gRPC over one core in this process."""

    rest: httpx.AsyncClient
    graphql: httpx.AsyncClient
    records: Any
    observer: Observer = field(default_factory=Observer)


@pytest.fixture
async def faces(stack: BackgroundStack) -> AsyncIterator[Faces]:
    observer, identity = Observer(), KafkaIdentity("default", "all", {}, {}, {})
    async with new_pool(stack.bootstrap_servers) as pool:
        own = await pool.lease(identity, SECONDS)
        pipeline = Pipeline(AccessLists(), 30, [observer], kafka=Kafka(pool, lambda caller, cluster_id: identity))
        core = Core(pipeline, own.ports, ConsumerDefaults(), 10)
        await core.start()
        server = GrpcServer(core, RpcOptions())
        port = server.listen("127.0.0.1:0")
        await server.start()
        rest = httpx.ASGITransport(app=create_rest_app(core, RestOptions()))
        graphql = httpx.ASGITransport(app=create_graphql_app(core, GraphQLOptions()))
        async with (
            httpx.AsyncClient(transport=rest, base_url="http://gateway", timeout=30) as rest_client,
            httpx.AsyncClient(transport=graphql, base_url="http://gateway", timeout=30) as graphql_client,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Faces(rest_client, graphql_client, record_pb2_grpc.RecordServiceStub(channel), observer)
        await server.stop(1)
        await core.close(10)


async def test_produced_records_are_counted(faces: Faces, topic: TopicFactory) -> None:
    name, take = await topic(), faces.observer.take
    body = {"records": [{"key": "k", "value": 12}, {"value": None}]}
    await faces.rest.post(f"/topics/{name}", headers=_V2_JSON, json=body)
    assert take("api.v2.produce-to-topic.json") == ("OK", 2, len(b'"k"') + len(b"12"))
    cluster = (await faces.rest.get("/v3/clusters")).json()["data"][0]["cluster_id"]
    lines = "\n".join(json.dumps({"value": {"type": "STRING", "data": "x" * size}}) for size in (3, 4))
    headers = {"content-type": "application/json"}
    await faces.rest.post(f"/v3/clusters/{cluster}/topics/{name}/records", headers=headers, content=lines)
    assert take("api.v3.produce.produce-to-topic") == ("OK", 2, 7)
    record = record_pb2.RecordToProduce(value=record_pb2.RecordData(text="four"))
    await faces.records.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=[record] * 3))
    assert take("api.v3.produce.produce-to-topic") == ("OK", 3, 12)
    mutation = "mutation($i: ProduceRecordsInput!) { produceRecords(input: $i) { results { report { offset } } } }"
    produce = {"topicName": name, "records": [{"value": {"format": "STRING", "data": "five5"}}]}
    answer = (await faces.graphql.post("/graphql", json={"query": mutation, "variables": {"i": produce}})).json()
    assert "errors" not in answer, answer
    assert take("api.v3.produce.produce-to-topic") == ("OK", 1, 5)


async def test_consumed_records_are_counted(faces: Faces, topic: TopicFactory) -> None:
    name, take = await topic(), faces.observer.take
    body = {"records": [{"value": "abc"}, {"value": "defg"}]}
    await faces.rest.post(f"/topics/{name}", headers=_V2_JSON, json=body)
    size = len(b'"abc"') + len(b'"defg"')
    faces.observer.seen.clear()
    async for _ in faces.records.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=False)):
        pass
    assert take("api.facade.records.consume") == ("OK", 2, size)
    group = f"g-{uuid.uuid4()}"
    where = f"/consumers/{group}/instances/i"
    made: dict[str, Any] = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "fetch.min.bytes": 1}
    made["consumer.request.timeout.ms"] = 20_000
    assert (await faces.rest.post(f"/consumers/{group}", headers=_V2, json=made)).status_code == 200
    assignment = {"partitions": [{"topic": name, "partition": 0}]}
    await faces.rest.post(f"{where}/assignments", headers=_V2, json=assignment)
    accept = {"accept": "application/vnd.kafka.json.v2+json"}
    read = (await faces.rest.get(f"{where}/records", headers=accept)).json()
    assert take("api.v2.consumers.consume-json") == ("OK", 2, size) if len(read) == 2 else ("OK", 1, 5)
    await faces.rest.delete(where)


async def test_the_code_is_that_of_the_error(faces: Faces, topic: TopicFactory) -> None:
    name, take = await topic(), faces.observer.take
    assert (await faces.rest.post("/topics/absent", headers=_V2_JSON, content="{")).status_code == 400
    assert take("api.v2.produce-to-topic.json")[0] == "MALFORMED_BODY"
    with pytest.raises(grpc.aio.AioRpcError):
        [_ async for _ in faces.records.Consume(record_pb2.ConsumeRequest(topic_name="absent"))]
    assert take("api.facade.records.consume")[0] == "TOPIC_NOT_FOUND"
    stream = faces.records.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True))
    async with asyncio.timeout(SECONDS):
        await faces.observer.entered.wait()
        stream.cancel()
        await faces.observer.left.wait()
    assert take("api.facade.records.consume") == ("CANCELLED", 0, 0)
