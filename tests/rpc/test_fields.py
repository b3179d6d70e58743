"""Errors name the full path of the invalid field in the request."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from kafka_facade.rpc.gen.v1 import (
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
    topic_config_pb2,
    topic_config_pb2_grpc,
    topic_pb2,
    topic_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import FORMAT_AVRO, RecordData, RecordToProduce, SchemaSelector

TopicFactory = Callable[..., Awaitable[str]]

ILLEGAL = "not/legal"
GOOD = RecordToProduce(value=RecordData(text="x"))
NUMBER = SchemaSelector(schema='"int"')
BAD = {
    "value.json": RecordToProduce(value=RecordData(json="{")),
    "key.json": RecordToProduce(key=RecordData(json="{")),
    "value.format": RecordToProduce(value=RecordData(text="x", format=FORMAT_AVRO)),
    "key.schema": RecordToProduce(key=RecordData(text="x", schema=SchemaSelector())),
    "partition_id": RecordToProduce(partition_id=7),
}
# What only the core finds.
OF_A_SCHEMA = RecordToProduce(value=RecordData(json='"no number"', format=FORMAT_AVRO, schema=NUMBER))


def blamed(status: Status) -> list[str]:
    """The fields that a status blames."""
    found = BadRequest()
    for detail in status.details:
        detail.Unpack(found)
    return [violation.field for violation in found.field_violations]


async def refused(call: Awaitable[Any]) -> list[str]:
    """The fields that a call is rejected for."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    return blamed(Status.FromString(details))


async def test_errors_of_records_have_their_index(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    # One that the core rejects stands behind some that it never sees.
    records = [GOOD, *BAD.values(), GOOD, OF_A_SCHEMA]
    expected = [[f"records[{1 + index}].{field}"] for index, field in enumerate(BAD)]
    answer = await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=records))
    found = [blamed(result.error) for result in answer.results]
    assert found == [[], *expected, [], ["records[7].value.json"]]
    for bad in (BAD["value.json"], OF_A_SCHEMA):
        request = record_pb2.ProduceRecordsRequest(topic_name=name, records=[GOOD, bad], all_or_nothing=True)
        assert await refused(stub.ProduceRecords(request)) == ["records[1].value.json"]

    entries = [record_pb2.BatchProduceEntry(id=str(index), record=record) for index, record in enumerate(records)]
    batch = await stub.BatchProduceRecords(record_pb2.BatchProduceRecordsRequest(topic_name=name, entries=entries))
    of_batch = {failure.id: blamed(failure.error) for failure in batch.failures}
    assert of_batch["1"] == ["entries[1].record.value.json"]
    assert of_batch["7"] == ["entries[7].record.value.json"]

    stream = stub.ProduceStream()
    await stream.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
    await stream.write(record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=records)))
    streamed: Any = await stream.read()
    await stream.done_writing()
    assert [blamed(result.error) for result in streamed.results] == [
        [f"records.{path}" for path in paths] for paths in found
    ]


async def test_errors_name_an_invalid_topic_name(channel: grpc.aio.Channel) -> None:
    topics = topic_pb2_grpc.TopicServiceStub(channel)
    records = record_pb2_grpc.RecordServiceStub(channel)
    consumers = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    configs = topic_config_pb2_grpc.TopicConfigServiceStub(channel)
    where: dict[str, Any] = {"consumer_group_id": "fields", "instance_id": "fields"}
    await consumers.CreateConsumerInstance(consumer_instance_pb2.CreateConsumerInstanceRequest(**where))
    partition = consumer_instance_pb2.TopicPartition(topic_name=ILLEGAL)
    calls: dict[str, list[Awaitable[Any]]] = {
        "topic_name": [
            topics.CreateTopic(topic_pb2.CreateTopicRequest(topic_name=ILLEGAL)),
            records.Consume(record_pb2.ConsumeRequest(topic_name=ILLEGAL)).read(),
            topics.GetTopic(topic_pb2.GetTopicRequest(topic_name=ILLEGAL)),
            configs.ListTopicConfigs(topic_config_pb2.ListTopicConfigsRequest(topic_name=ILLEGAL)),
        ],
        "topic_names[1]": [
            consumers.Subscribe(consumer_instance_pb2.SubscribeRequest(**where, topic_names=["fine", ILLEGAL]))
        ],
        "partitions[0].topic_name": [
            consumers.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=[partition]))
        ],
    }
    for field, several in calls.items():
        for call in several:
            assert await refused(call) == [field]
    answer = await records.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=ILLEGAL, records=[GOOD]))
    assert blamed(answer.results[0].error) == ["topic_name"]
    await consumers.DeleteConsumerInstance(consumer_instance_pb2.DeleteConsumerInstanceRequest(**where))
