"""gRPC messages with many small fields block neither the event loop nor the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import grpc
import httpx
import pytest

from faces.conftest import Watched
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc

pytestmark = pytest.mark.xdist_group("event_loop")

# Seconds in which nothing else ran: gRPC's own copies of the message take a third of it.
MOST_HELD = 0.15
# Processor time (s) of the loop without another turn. One record with many headers takes up to 20 ms.
MOST_BUSY = 0.1
# Compressed messages are decompressed in time slices.
MOST_BUSY_COMPRESSED = 0.05
SIZE = 8 * 1024 * 1024
RECORDS = "/kafka_facade.v1.RecordService/"
INSTANCES = "/kafka_facade.v1.ConsumerInstanceService/"


def part(tag: int, content: bytes) -> bytes:
    """A field with a length."""
    length, left = bytearray(), len(content)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([tag, *length, left]) + content


MESSAGES = {
    "records": (RECORDS + "ProduceRecords", b"\x1a\0" * (SIZE // 2)),
    "keys of records": (RECORDS + "ProduceRecords", b"\x1a\x02\x0a\0" * (SIZE // 4)),
    "headers of a record": (RECORDS + "ProduceRecords", part(0x1A, b"\x22\0" * (SIZE // 2))),
    "entries": (RECORDS + "BatchProduceRecords", b"\x1a\0" * (SIZE // 2)),
    "a frame": (RECORDS + "ProduceStream", part(0x12, b"\x12\0" * (SIZE // 2))),
    "partitions": (RECORDS + "Consume", part(0x1A, b"\x01" * SIZE * 2)),
    "starts": (RECORDS + "Consume", b"\x3a\0\x22\0" * (SIZE // 4)),
    "names of topics": (INSTANCES + "Subscribe", b"\x1a\0" * (SIZE // 2)),
    "offsets": (INSTANCES + "CommitOffsets", b"\x1a\0" * (SIZE // 2)),
    "names": (INSTANCES + "FetchRecords", b"\x0a\x01a" * SIZE),
    "replicas": ("/kafka_facade.v1.TopicService/CreateTopic", part(0x2A, part(0x12, b"\x0a\x01\x01" * (SIZE // 2)))),
    "configs": (
        "/kafka_facade.v1.TopicConfigService/AlterMultipleTopicConfigs",
        part(0x12, b"\x12\0" * (SIZE // 2)),
    ),
    "health": ("/grpc.health.v1.Health/Check", b"\x0a\x01a" * SIZE),
    "reflection": ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x2a\0\x3a\0" * (SIZE // 2)),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_a_message_of_many_fields_is_refused(watched: Watched, name: str) -> None:
    method, data = MESSAGES[name]
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:
        # A call of this kind sends what a unary one does.
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)

        async def run() -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream(data, timeout=60).read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, caught.value.details()
            assert "fields" in (caught.value.details() or "")

        assert await watched.quietest(run, "longest_held", MOST_HELD) < MOST_HELD


COMPRESSED = {
    "in proportion": lambda: b"".join(os.urandom(64) + bytes(6000) for _ in range(150)),
    "out of proportion": lambda: bytes(900_000),
}


@pytest.mark.parametrize("name", COMPRESSED)
async def test_compressed_messages_do_not_block_the_event_loop(
    watched: Watched, topic: Callable[..., Awaitable[str]], name: str
) -> None:
    value = record_pb2.RecordData(binary=COMPRESSED[name]())
    records = [record_pb2.RecordToProduce(value=value)] * 34
    request = record_pb2.ProduceRecordsRequest(topic_name=await topic(), records=records)
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords

        async def run() -> None:
            if name == "in proportion":
                answer = await produce(request, compression=grpc.Compression.Gzip, timeout=60)
                assert [result.HasField("report") for result in answer.results] == [True] * len(records)
                return
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await produce(request, compression=grpc.Compression.Gzip, timeout=60)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        assert await watched.quietest(run, enough=MOST_BUSY_COMPRESSED) < MOST_BUSY_COMPRESSED


async def test_records_with_very_many_headers_are_produced(
    watched: Watched, topic: Callable[..., Awaitable[str]]
) -> None:
    records = [record_pb2.RecordToProduce(headers=[record_pb2.Header()] * 50_000)] * 9
    request = record_pb2.ProduceRecordsRequest(topic_name=await topic(), records=records)
    assert request.ByteSize() < 1024 * 1024
    async with grpc.aio.insecure_channel(watched.gateway.grpc) as channel:

        async def run() -> None:
            answer = await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(request, timeout=60)
            assert [result.HasField("report") for result in answer.results] == [True] * len(records)

        assert await watched.quietest(run, enough=MOST_BUSY) < MOST_BUSY


@pytest.mark.parametrize(
    "header", [record_pb2.Header(), record_pb2.Header(name="name", value=b"value")], ids=["empty", "full"]
)
async def test_a_frame_of_records_with_very_many_headers(
    watched: Watched, topic: Callable[..., Awaitable[str]], header: record_pb2.Header
) -> None:
    # Those with full headers are larger than a record may be.
    count = 6 if header.name else 20
    records = record_pb2.ProduceStreamRecords(records=[record_pb2.RecordToProduce(headers=[header] * 99_000)] * count)
    setup = record_pb2.ProduceStreamSetup(topic_name=await topic())
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:

        async def run() -> None:
            call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=60)
            await call.write(record_pb2.ProduceStreamRequest(setup=setup))
            await call.write(record_pb2.ProduceStreamRequest(records=records))
            answer = await call.read()
            assert isinstance(answer, record_pb2.ProduceStreamResponse)
            assert [result.HasField("error") for result in answer.results] == [bool(header.name)] * count
            call.cancel()

        assert await watched.quietest(run, enough=MOST_BUSY) < MOST_BUSY


async def test_a_batch_of_very_many_entries_is_refused(watched: Watched, topic: Callable[..., Awaitable[str]]) -> None:
    ids = ",".join([f'{{"id":"{number}"}}' for number in range(150_000)])
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
        path = f"/v3/clusters/{cluster}/topics/{await topic()}/records:batch"

        async def run() -> None:
            answer = await client.post(
                path, headers={"content-type": "application/json"}, content=f'{{"entries":[{ids}]}}'
            )
            assert answer.json()["message"] == "Too many entries in batch.", answer.text[:300]

        assert await watched.quietest(run, enough=MOST_BUSY) < MOST_BUSY
