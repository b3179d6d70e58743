"""Callers may read the state topic, but not change it, on all faces."""

import json
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from conftest import GatewayFactory, TopicFactory
from faces.clients import Data, FaceClient, Produced
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.configs.model import (
    AlterMultipleTopicConfigs,
    AlterOperation,
    AlterTopicConfigs,
    ConfigAlteration,
    ResetTopicConfig,
    TopicConfigAlterations,
    UpdateTopicConfig,
)
from kafka_facade.core.request import Request
from kafka_facade.core.topics.model import CreateTopic, DeleteTopic, GetTopic, UpdatePartitionCount
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc


@pytest.fixture
async def name(topic: TopicFactory) -> str:
    """A topic that is the state topic of the gateway."""
    return await topic(config={"cleanup.policy": "compact"})


@pytest.fixture
async def client(face_name: str, name: str, gateway_factory: GatewayFactory) -> AsyncIterator[FaceClient]:
    """A client of the face in turn."""
    client = FACES[face_name](await gateway_factory({"state.topic": name}))
    yield client
    await client.close()


async def test_the_state_topic_is_read_only(client: FaceClient, cluster: str, name: str, topic: TopicFactory) -> None:
    other = await topic()
    alterations = [ConfigAlteration("retention.ms", "1", AlterOperation.SET)]
    many = [TopicConfigAlterations(other, alterations), TopicConfigAlterations(name, alterations)]
    calls: list[tuple[str, Request[object]]] = [
        ("api.v3.topics.create", CreateTopic(cluster, name, 1, 1)),
        ("api.v3.topics.delete", DeleteTopic(cluster, name)),
        ("api.v3.topics.partitions", UpdatePartitionCount(cluster, name, 2)),
        ("api.v3.topic-configs.update", UpdateTopicConfig(cluster, name, "retention.ms", "1")),
        ("api.v3.topic-configs.delete", ResetTopicConfig(cluster, name, "cleanup.policy")),
        ("api.v3.topic-configs.alter", AlterTopicConfigs(cluster, name, alterations)),
        ("api.v3.topic-configs.alter-multi", AlterMultipleTopicConfigs(cluster, many)),
    ]
    for identifier, request in calls:
        with pytest.raises(FaceError) as caught:
            await client.run(identifier, request)
        assert caught.value.codes == client.codes(errors.KafkaAuthorizationFailed), identifier
        assert "only they may change it" in caught.value.message
    with pytest.raises(FaceError) as caught:
        await client.produce(cluster, name, Produced(Data("STRING", "v")))
    assert "only they may change it" in caught.value.message
    assert (await client.run("api.v3.topics.get", GetTopic(cluster, name)))["partitions_count"] == 1
    assert await client.partition(cluster, name, 0) == (0, 1)
    await client.produce(cluster, other, Produced(Data("STRING", "v")))


async def test_the_streams_and_v2_produce_nothing_to_the_state_topic(
    name: str, cluster: str, gateway_factory: GatewayFactory
) -> None:
    gateway = await gateway_factory({"state.topic": name})
    async with httpx.AsyncClient(timeout=30) as http:
        answer = await http.post(
            f"{gateway.rest}/topics/{name}",
            json={"records": [{"value": "v"}]},
            headers={"content-type": "application/vnd.kafka.json.v2+json"},
        )
        assert (answer.status_code, answer.json()["error_code"]) == (403, 40301)
        answer = await http.post(
            f"{gateway.rest}/v3/clusters/{cluster}/topics/{name}/records",
            content=2 * b'{"value":{"type":"STRING","data":"v"}}',
            headers={"content-type": "application/json"},
        )
        assert [json.loads(line)["error_code"] for line in answer.text.splitlines()] == [40301, 40301]
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stream = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=30)
        await stream.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
        record = record_pb2.RecordToProduce(value=record_pb2.RecordData(text="v"))
        await stream.write(record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=[record])))
        frame = await stream.read()
        assert isinstance(frame, record_pb2.ProduceStreamResponse)
        [result] = frame.results
        assert "only they may change it" in result.error.message
        stream.cancel()
