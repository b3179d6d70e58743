"""Callers that leave before the response cause no log entries."""

import asyncio
from typing import Any

import grpc

from conftest import GatewayFactory, TopicFactory
from kafka_facade.rpc.dispatch import Context, write_message
from kafka_facade.rpc.errors import CallerGoneError
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.options import RpcOptions

_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
# Each fails with a long message: their results are more than a connection holds.
_BAD = record_pb2.RecordToProduce(value=record_pb2.RecordData(json="{" + "\N{SNOWMAN}" * 300))
_BAD_RECORDS = 2000


async def test_a_response_to_a_caller_that_has_left(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({})
    request = record_pb2.ProduceRecordsRequest(topic_name=await topic(), records=[_BAD] * _BAD_RECORDS)
    for deadline in (None, 2.0):
        async with grpc.aio.insecure_channel(gateway.grpc, options=_SMALL_WINDOW) as channel:
            method: grpc.aio.UnaryStreamMultiCallable[Any, bytes] = channel.unary_stream(
                "/kafka_facade.v1.RecordService/ProduceRecords", record_pb2.ProduceRecordsRequest.SerializeToString
            )
            call = method(request, timeout=deadline)
            await call.initial_metadata()
            if deadline is None:
                call.cancel()
            assert await call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
    # It gets both before it responds to this.
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        await check(b"")
    await asyncio.sleep(0.5)
    assert "Traceback" not in gateway.child.log.read_text()


async def test_a_message_to_a_caller_that_has_left() -> None:
    began = asyncio.Event()
    written: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def serve(_: object, context: Context) -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            [error] = await asyncio.gather(write_message(context, b"answer", RpcOptions()), return_exceptions=True)
            written.set_result(error)

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"method": grpc.stream_stream_rpc_method_handler(serve)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream("/service/method")
            call = method()
            await began.wait()
            call.cancel()
            async with asyncio.timeout(10):
                assert isinstance(await written, CallerGoneError)
    finally:
        await server.stop(None)
