"""ProduceStream and Consume, against a real gateway."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, cast

import grpc
import psutil
import pytest
from confluent_kafka import Producer
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from kafka_facade.rpc.gen.v1 import (
    partition_pb2,
    partition_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
    topic_pb2,
    topic_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import ProduceStreamRequest, RecordData, RecordToProduce
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
InfoOf = Callable[[Status | grpc.aio.AioRpcError], ErrorInfo]
GatewayFactory = Callable[..., Awaitable[Gateway]]

_SECONDS = 60
_MEBIBYTE = 1024 * 1024


def setup(topic: str, partition_id: int | None = None) -> ProduceStreamRequest:
    return ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=topic, partition_id=partition_id))


def frame(correlation_id: int, records: Iterable[RecordToProduce]) -> ProduceStreamRequest:
    return ProduceStreamRequest(
        records=record_pb2.ProduceStreamRecords(correlation_id=correlation_id, records=list(records))
    )


def text(value: str) -> RecordToProduce:
    return RecordToProduce(value=RecordData(text=value))


async def answer(call: Any) -> record_pb2.ProduceStreamResponse:
    """The next answer of a ProduceStream."""
    return cast(record_pb2.ProduceStreamResponse, await call.read())


async def consumed(call: Any) -> list[record_pb2.Record]:
    """The next records of a Consume."""
    return list((await call.read()).records)


async def drain(call: Any, answers: list[Any]) -> None:
    """Read to the end; raises what ended the stream."""
    while (message := await call.read()) is not grpc.aio.EOF:
        answers.append(message)


async def terminate(gateway: Gateway) -> None:
    gateway.child.send(signal.SIGTERM)
    async with asyncio.timeout(_SECONDS):
        while gateway.child.running:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def consume(channel: grpc.aio.Channel, request: record_pb2.ConsumeRequest) -> AsyncIterator[record_pb2.Record]:
    async for response in record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS):
        for record in response.records:
            yield record


async def everything(channel: grpc.aio.Channel, topic: str) -> list[record_pb2.Record]:
    request = record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty())
    return [record async for record in consume(channel, request)]


async def latest(channel: grpc.aio.Channel, topic: str) -> int:
    offsets = await partition_pb2_grpc.PartitionServiceStub(channel).GetPartitionOffsets(
        partition_pb2.GetPartitionOffsetsRequest(topic_name=topic, partition_id=0)
    )
    return offsets.latest_offset


async def test_frames_are_answered_in_order_and_half_close_ends_the_stream(
    channel: grpc.aio.Channel, topic: TopicFactory
) -> None:
    name = await topic()
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=_SECONDS)
    await call.write(setup(name))
    for number in range(20):
        await call.write(frame(7 * number, [text(f"{number}-{n}") for n in range(number)]))
    await call.done_writing()
    answers = [found async for found in call]
    assert [found.correlation_id for found in answers] == [7 * number for number in range(20)]
    assert [len(found.results) for found in answers] == list(range(20))
    results = [result for found in answers for result in found.results]
    assert [result.offset for result in results] == list(range(190))
    assert all(result.timestamp.seconds > 0 and not result.HasField("error") for result in results)
    stored = [record.value.decode() for record in await everything(channel, name)]
    assert stored == [f"{number}-{n}" for number in range(20) for n in range(number)]


async def test_responses_arrive_while_the_stream_is_open(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic(partitions=3)
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=_SECONDS)
    await call.write(setup(name, partition_id=2))
    for number in range(3):
        await call.write(frame(number, [text("x")]))
        found = await answer(call)
        assert found.correlation_id == number
        assert [(result.partition_id, result.offset) for result in found.results] == [(2, number)]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_an_invalid_record_does_not_end_the_stream(
    channel: grpc.aio.Channel, topic: TopicFactory, info_of: InfoOf
) -> None:
    name = await topic()
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=_SECONDS)
    await call.write(setup(name))
    bad = [
        RecordToProduce(value=RecordData(json="{")),
        RecordToProduce(partition_id=8, value=RecordData(text="x")),
        RecordToProduce(value=RecordData(binary=b"x" * 2 * _MEBIBYTE)),
        RecordToProduce(value=RecordData(json="1", format=record_pb2.FORMAT_AVRO)),
    ]
    await call.write(frame(1, [text("first"), *bad, text("second")]))
    await call.write(frame(2, [text("third")]))
    await call.done_writing()
    mixed, fine = [found async for found in call]
    reasons = [info_of(result.error).reason for result in mixed.results if result.HasField("error")]
    assert reasons == ["INVALID_REQUEST", "PARTITION_NOT_FOUND", "PAYLOAD_TOO_LARGE", "INVALID_REQUEST"]
    assert [mixed.results[0].offset, mixed.results[-1].offset, fine.results[0].offset] == [0, 1, 2]
    assert [record.value for record in await everything(channel, name)] == [b"first", b"second", b"third"]


async def test_an_invalid_topic_name_fails_its_records(channel: grpc.aio.Channel, info_of: InfoOf) -> None:
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=_SECONDS)
    await call.write(setup("not/legal"))
    for number in range(2):
        await call.write(frame(number, [text("x"), text("y")]))
        found = await answer(call)
        assert found.correlation_id == number
        assert [info_of(result.error).reason for result in found.results] == ["INVALID_TOPIC_NAME"] * 2
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize("case", ["records first", "setup twice", "nothing in it", "nothing later", "no topic"])
async def test_frames_out_of_order_end_the_stream(
    channel: grpc.aio.Channel, topic: TopicFactory, case: str, info_of: InfoOf
) -> None:
    name = await topic()
    frames = {
        "records first": [frame(1, [text("x")])],
        "setup twice": [setup(name), frame(1, [text("x")]), setup(name)],
        "nothing in it": [ProduceStreamRequest()],
        "nothing later": [setup(name), ProduceStreamRequest()],
        "no topic": [setup("")],
    }[case]
    call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(iter(frames), timeout=_SECONDS)
    answers: list[record_pb2.ProduceStreamResponse] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await drain(call, answers)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "INVALID_REQUEST"
    assert ("first frame" in (caught.value.details() or "")) == (case in ("records first", "nothing in it"))
    # What came before is still answered.
    assert len(answers) == (1 if case == "setup twice" else 0)


async def test_back_pressure_on_a_client_that_stops_reading(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory()
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=4 * _SECONDS)
        await call.write(setup(name))
        # Errors, which cost little, so that answers soon fill what lies between.
        bad = RecordToProduce(partition_id=9, value=RecordData(binary=b"x" * 500))
        full = frame(1, [text("x")] + [bad] * 199)
        total = 600
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(total):
                await call.write(full)
                written += 1
            await call.done_writing()

        assert gateway.child.pid is not None
        process = psutil.Process(gateway.child.pid)
        writer = asyncio.create_task(write())
        stuck, calm = -1, 0
        while calm < 4:
            await asyncio.sleep(0.5)
            calm = calm + 1 if written and written == stuck else 0
            stuck = written
        assert 0 < stuck < total
        before = process.memory_info().rss
        assert before < 400 * _MEBIBYTE
        answers = 0
        while await call.read() is not grpc.aio.EOF:
            answers += 1
        await writer
        assert answers == total
        assert await latest(channel, name) == total
        assert process.memory_info().rss < 400 * _MEBIBYTE


async def test_a_cancelled_stream_leaves_the_gateway_idle(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    name = await topic()
    gateway = await gateway_factory()
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = record_pb2_grpc.RecordServiceStub(channel)
        for _ in range(3):
            call = stub.ProduceStream(timeout=_SECONDS)
            await call.write(setup(name))
            await call.write(frame(1, [text("x")] * 1000))
            call.cancel()
            reading = stub.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True))
            await asyncio.wait({asyncio.ensure_future(reading.read())}, timeout=1)
            reading.cancel()
        # A remaining call or consumer would delay the shutdown.
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await terminate(gateway)
        assert loop.time() - begin < 5


async def test_shutdown_answers_what_was_read_and_ends_the_streams(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory()
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = record_pb2_grpc.RecordServiceStub(channel)
        call = stub.ProduceStream(timeout=_SECONDS)
        await call.write(setup(name))
        await call.write(frame(1, [text("x")]))
        assert (await answer(call)).correlation_id == 1
        following = stub.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True))
        assert len(await consumed(following)) == 1
        stopping = asyncio.create_task(terminate(gateway))
        for stream in (call, following):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await drain(stream, [])
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await stopping


async def test_start_positions_of_consume(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic(partitions=2)
    # Recent, or retention would delete them under the test.
    begin = int(time.time()) - 1000
    records = [
        RecordToProduce(
            partition_id=n % 2,
            key=RecordData(binary=b"k") if n else None,
            value=RecordData(text=str(n)),
            headers=[record_pb2.Header(name="h", value=b"v"), record_pb2.Header(name="h")],
            timestamp=Timestamp(seconds=begin + n),
        )
        for n in range(10)
    ]
    await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(
        record_pb2.ProduceRecordsRequest(topic_name=name, records=records)
    )

    async def values(**request: Any) -> list[int]:
        asked = record_pb2.ConsumeRequest(topic_name=name, **request)
        return sorted([int(record.value) async for record in consume(channel, asked)])

    assert await values(earliest=Empty()) == list(range(10))
    assert await values(earliest=Empty(), partition_ids=[1]) == [1, 3, 5, 7, 9]
    assert await values(offset=3) == [6, 7, 8, 9]
    assert await values(timestamp=Timestamp(seconds=begin + 7)) == [7, 8, 9]
    for early in (Timestamp(seconds=-1, nanos=999_000_000), Timestamp(seconds=-1_000)):
        assert await values(timestamp=early) == list(range(10))
    assert await values(latest=Empty()) == []
    assert await values() == []
    found = {record.value: record for record in await everything(channel, name)}
    first = found[b"0"]
    assert (first.topic_name, first.partition_id, first.offset) == (name, 0, 0)
    assert first.timestamp == Timestamp(seconds=begin)
    assert not first.HasField("key")
    assert found[b"1"].key == b"k"
    assert [(header.name, header.HasField("value")) for header in first.headers] == [("h", True), ("h", False)]


@pytest.mark.parametrize("milliseconds", [-(2**62), 253_402_300_800_000, 2**62])
async def test_a_record_with_a_time_that_a_timestamp_cannot_represent(
    channel: grpc.aio.Channel, topic: TopicFactory, stack: BackgroundStack, milliseconds: int
) -> None:
    widest = str(2**63 - 1)
    limits = {f"message.timestamp.{side}.max.ms": widest for side in ("before", "after")}
    name = await topic(config=limits | {"retention.ms": "-1"})
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, b"v", timestamp=milliseconds)
    assert await asyncio.to_thread(producer.flush, 20) == 0
    [record] = await everything(channel, name)
    assert record.value == b"v"
    # Clients cannot show a message with a timestamp outside of years 1 to 9999.
    assert json_format.MessageToDict(record) == {"topicName": name, "value": "dg=="}


async def test_max_records_limits_responses(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    await stub.ProduceRecords(
        record_pb2.ProduceRecordsRequest(topic_name=name, records=[text(str(n)) for n in range(10)])
    )
    request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), max_records=3)
    sizes = [len(response.records) async for response in stub.Consume(request, timeout=_SECONDS)]
    assert sum(sizes) == 10
    assert max(sizes) == 3


async def test_following_returns_new_records(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    produce = record_pb2.ProduceRecordsRequest(topic_name=name, records=[text("x")])
    await stub.ProduceRecords(produce)
    stream = stub.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True), timeout=_SECONDS)
    assert [record.offset for record in await consumed(stream)] == [0]
    await stub.ProduceRecords(produce)
    assert [record.offset for record in await consumed(stream)] == [1]
    stream.cancel()


async def test_following_a_deleted_topic_ends(channel: grpc.aio.Channel, topic: TopicFactory, info_of: InfoOf) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=[text("x")]))
    stream = stub.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True), timeout=90)
    assert [record.offset for record in await consumed(stream)] == [0]
    await topic_pb2_grpc.TopicServiceStub(channel).DeleteTopic(topic_pb2.DeleteTopicRequest(topic_name=name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await consumed(stream)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert info_of(caught.value).reason == "TOPIC_NOT_FOUND"


@pytest.mark.parametrize(
    ("request_fields", "code", "reason"),
    [
        ({"topic_name": f"none-{uuid.uuid4().hex}"}, grpc.StatusCode.NOT_FOUND, "TOPIC_NOT_FOUND"),
        ({"topic_name": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        ({"partition_ids": [5]}, grpc.StatusCode.NOT_FOUND, "PARTITION_NOT_FOUND"),
        ({"cluster_id": "another"}, grpc.StatusCode.NOT_FOUND, "CLUSTER_NOT_FOUND"),
        ({"max_records": -1}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        ({"partition_ids": [0] * 10_001}, grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["topic", "no topic", "partition", "cluster", "max_records", "partitions"],
)
async def test_invalid_consume_requests(
    channel: grpc.aio.Channel,
    topic: TopicFactory,
    request_fields: dict[str, Any],
    code: object,
    reason: str,
    info_of: InfoOf,
) -> None:
    request = record_pb2.ConsumeRequest(**{"topic_name": await topic(), **request_fields})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS).read()
    assert caught.value.code() is code
    assert info_of(caught.value).reason == reason
