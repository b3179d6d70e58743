"""The size limit applies to the decompressed message."""

import grpc
import pytest

from conftest import GatewayFactory, TopicFactory
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from peak_memory import MEBIBYTE, PeakMemory

_ALGORITHMS = (grpc.Compression.Gzip, grpc.Compression.Deflate)


@pytest.mark.parametrize("algorithm", _ALGORITHMS, ids=("gzip", "deflate"))
async def test_a_message_that_grows_beyond_the_limit(
    gateway_factory: GatewayFactory, topic: TopicFactory, algorithm: grpc.Compression
) -> None:
    gateway = await gateway_factory({"max.request.body.size": str(4 * MEBIBYTE)})
    name = await topic()

    def request(size: int) -> record_pb2.ProduceRecordsRequest:
        records = [RecordToProduce(value=RecordData(binary=bytes(size)))]
        return record_pb2.ProduceRecordsRequest(topic_name=name, records=records)

    async with grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
        answer = await produce(request(100_000), compression=algorithm, timeout=60)
        assert answer.results[0].HasField("report")
        memory = PeakMemory(gateway)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await produce(request(200 * MEBIBYTE), compression=algorithm, timeout=60)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert memory.growth() < 50 * MEBIBYTE
