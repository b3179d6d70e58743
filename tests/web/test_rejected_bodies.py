"""A caller that is still sending when its request is rejected gets the response, not a connection reset."""

import asyncio
from collections.abc import Awaitable, Callable

from http_connection import Connection
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]
Connect = Callable[..., Awaitable[Connection]]


async def test_the_response_arrives_while_the_body_is_sent(gateway_factory: GatewayFactory, connect: Connect) -> None:
    connection = await connect(await gateway_factory({"request.body.timeout.ms": "1000"}))
    head = "POST /topics/a HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/vnd.kafka.binary.v2+json\r\n"
    await connection.send(f"{head}content-length: 60000000\r\n\r\n".encode())

    async def send() -> None:
        while True:
            await connection.send(b" " * 4096)
            await asyncio.sleep(0.001)

    sending = asyncio.create_task(send())
    await asyncio.sleep(1.7)
    status, body = await connection.answer()
    assert (status, body) == (408, b'{"error_code":408,"message":"HTTP 408 Request Timeout: the body took too long."}')
    assert not sending.done()
    assert await connection.rest() == b""
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
