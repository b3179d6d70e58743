"""Many large requests at the same time take a bounded amount of memory, and do not keep other callers waiting."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc
import httpx
import pytest

from faces.conftest import MOST_BUSY, Watched
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from peak_memory import MEBIBYTE, PeakMemory

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

V2 = {"content-type": "application/vnd.kafka.json.v2+json"}
BODIES, RECORDS = 15, 50_000
# Each takes 35 MiB while it is processed.
MOST_MEMORY = 350 * MEBIBYTE


async def test_v2_bodies(watched: Watched, topic: TopicFactory) -> None:
    path = f"/topics/{await topic()}"
    body = json.dumps({"records": [{"value": "x"}] * RECORDS}).encode()
    memory = PeakMemory(watched.gateway)
    limits = httpx.Limits(max_connections=BODIES)
    async with httpx.AsyncClient(base_url=watched.gateway.rest, headers=V2, timeout=120, limits=limits) as client:

        async def run() -> None:
            posts = [asyncio.create_task(client.post(path, content=body)) for _ in range(BODIES)]
            async with httpx.AsyncClient(base_url=watched.gateway.rest, headers=V2, timeout=10) as other:
                for _ in range(5):
                    assert (await other.post(path, json={"records": [{"value": 1}]})).status_code == 200
            outcomes = Counter(answer.status_code for answer in await asyncio.gather(*posts))
            # On a slow machine some wait for too long.
            assert set(outcomes) <= {200, 429}
            assert outcomes[200]

        assert await watched.quietest(run) < MOST_BUSY
    assert memory.growth() < MOST_MEMORY


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
async def test_grpc_messages(watched: Watched, topic: TopicFactory, compression: grpc.Compression) -> None:
    name = await topic()
    many = record_pb2.ProduceRecordsRequest(
        topic_name=name, records=[record_pb2.RecordToProduce(headers=[record_pb2.Header()] * 90_000)] * 20
    )
    one = record_pb2.ProduceRecordsRequest(
        topic_name=name,
        records=[record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=bytes(range(256)) * 2000))],
    )
    memory = PeakMemory(watched.gateway)
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as greedy,
        grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as modest,
    ):
        produce = record_pb2_grpc.RecordServiceStub(greedy).ProduceRecords
        calls = [produce(many, compression=compression, timeout=120) for _ in range(20)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(1)
        for _ in range(3):
            await record_pb2_grpc.RecordServiceStub(modest).ProduceRecords(one, compression=compression, timeout=20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert memory.growth() < MOST_MEMORY
