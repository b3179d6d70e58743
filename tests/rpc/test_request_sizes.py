"""The maximum size of a gRPC request."""

import grpc
import pytest

from conftest import GatewayFactory
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc

MEBIBYTE = 1 << 20
LIMITS: list[tuple[dict[str, str], int]] = [
    ({}, 32 * MEBIBYTE),
    ({"max.request.body.size": "100000"}, 100_000),
    ({"grpc.max.request.bytes": "50000000"}, 50_000_000),
]


@pytest.mark.parametrize(("settings", "limit"), LIMITS)
async def test_a_larger_request_is_rejected(
    gateway_factory: GatewayFactory, settings: dict[str, str], limit: int
) -> None:
    gateway = await gateway_factory(settings)
    request = record_pb2.ProduceRecordsRequest(topic_name="")
    overhead = 20
    request.records.add().value.binary = bytes(limit - overhead)
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await produce(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        request.records.add().value.binary = bytes(overhead)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await produce(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
