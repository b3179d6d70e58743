"""Records that brokers do not acknowledge have no offset."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]


async def test_they_have_no_offset_on_any_face(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"producer.acks": "0"})
    v2 = {"content-type": "application/vnd.kafka.binary.v2+json"}
    value = {"type": "STRING", "data": "x"}
    v3 = f"/v3/clusters/{stack.cluster_id}/topics/{name}/records"
    mutation = """mutation ($topic: String!) {
      produceRecords(input: {topicName: $topic, records: [{value: {format: STRING, data: "x"}}]}) {
        results { report { partitionId offset } }
      }
    }"""
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        records = {"records": [{"value": base64.b64encode(b"x").decode()}] * 2}
        answer = (await client.post(f"/topics/{name}", json=records, headers=v2)).json()
        assert [(entry["partition"], entry["offset"]) for entry in answer["offsets"]] == [(0, -1)] * 2
        assert (await client.post(v3, json={"value": value})).json()["offset"] == -1
        batch = {"entries": [{"id": "1", "value": value}]}
        [entry] = (await client.post(f"{v3}:batch", json=batch)).json()["successes"]
        assert entry["offset"] == -1
        answer = (await client.post("/graphql", json={"query": mutation, "variables": {"topic": name}})).json()
        [result] = answer["data"]["produceRecords"]["results"]
        assert result["report"] == {"partitionId": 0, "offset": None}
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = record_pb2_grpc.RecordServiceStub(channel)
        record = record_pb2.RecordToProduce(value=record_pb2.RecordData(text="x"))
        produced = await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=[record]))
        assert not produced.results[0].report.HasField("offset")
        stream = stub.ProduceStream()
        setup = record_pb2.ProduceStreamSetup(topic_name=name)
        await stream.write(record_pb2.ProduceStreamRequest(setup=setup))
        await stream.write(record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=[record])))
        answered: Any = await stream.read()
        assert not answered.results[0].HasField("offset")
        stream.cancel()
