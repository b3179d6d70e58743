"""Streams of records (REST and gRPC) to a partition to which others send records that Kafka rejects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import grpc
import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.gateway import Gateway

_RECORDS = 200
_BAD_EVERY = 7
_KEY = {"type": "STRING", "data": "k"}
_LARGE = {"key": _KEY, "value": {"type": "STRING", "data": "".join(chr(33 + n * n % 90) for n in range(5_000))}}
_OLD = {"key": _KEY, "value": {"type": "STRING", "data": "old"}, "timestamp": "2001-01-01T00:00:00Z"}
_KEYLESS = {"value": {"type": "STRING", "data": "keyless"}}

Outcomes = list[int | str]
"""The offset of each record of a stream, or the message of its error."""
Stream = Callable[[Gateway, str, str, Sequence[dict[str, Any]]], Coroutine[Any, Any, Outcomes]]


async def _rest(gateway: Gateway, cluster: str, topic: str, records: Sequence[dict[str, Any]]) -> Outcomes:
    async def body() -> AsyncIterator[bytes]:
        for record in records:
            yield json.dumps({"partition_id": 0} | record).encode()

    url = f"{gateway.rest}/v3/clusters/{cluster}/topics/{topic}/records"
    async with httpx.AsyncClient(timeout=60) as client:
        response = await client.post(url, content=body(), headers={"Content-Type": "application/json"})
    answers = [json.loads(line) for line in response.text.splitlines() if line]
    return [answer["offset"] if answer["error_code"] == 200 else answer["message"] for answer in answers]


async def _grpc(gateway: Gateway, cluster: str, topic: str, records: Sequence[dict[str, Any]]) -> Outcomes:
    async def frames() -> AsyncIterator[record_pb2.ProduceStreamRequest]:
        setup = record_pb2.ProduceStreamSetup(cluster_id=cluster, topic_name=topic, partition_id=0)
        yield record_pb2.ProduceStreamRequest(setup=setup)
        for number, record in enumerate(records):
            wire = record_pb2.RecordToProduce(value=record_pb2.RecordData(text=record["value"]["data"]))
            if "key" in record:
                wire.key.text = record["key"]["data"]
            if "timestamp" in record:
                wire.timestamp.FromJsonString(record["timestamp"])
            frame = record_pb2.ProduceStreamRecords(correlation_id=number, records=[wire])
            yield record_pb2.ProduceStreamRequest(records=frame)

    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = record_pb2_grpc.RecordServiceStub(channel)
        results = [result async for answer in stub.ProduceStream(frames(), timeout=60) for result in answer.results]
    return [result.error.message if result.HasField("error") else result.offset for result in results]


@pytest.mark.parametrize("stream", [_rest, _grpc], ids=["rest", "grpc"])
@pytest.mark.parametrize(
    ("config", "bad", "said"),
    [
        ({"message.timestamp.before.max.ms": "3600000"}, _OLD, "out of the range"),
        ({"max.message.bytes": "2000"}, _LARGE, "larger than the maximum"),
        ({"cleanup.policy": "compact"}, _KEYLESS, "without a key"),
    ],
    ids=["timestamp", "size", "key"],
)
async def test_streams_lose_no_valid_record(
    gateway: Gateway,
    cluster: str,
    topic: TopicFactory,
    stream: Stream,
    config: dict[str, str],
    bad: dict[str, Any],
    said: str,
) -> None:
    name = await topic(config=config)
    good = [{"key": _KEY, "value": {"type": "STRING", "data": str(number)}} for number in range(_RECORDS)]
    mixed = [bad if number % _BAD_EVERY == 3 else record for number, record in enumerate(good)]
    given = [good, mixed, good]
    async with asyncio.timeout(120):
        streams = await asyncio.gather(*(stream(gateway, cluster, name, records) for records in given))
    for records, outcomes in zip(given, streams, strict=True):
        assert len(outcomes) == _RECORDS
        for record, outcome in zip(records, outcomes, strict=True):
            if record is bad:
                assert isinstance(outcome, str)
                assert said in outcome
            else:
                assert isinstance(outcome, int), outcome
        offsets = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert offsets == sorted(offsets)
