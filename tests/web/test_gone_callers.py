"""An application that gives up a response to a caller that has left is no error."""

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvicorn

from kafka_facade.web.options import HttpOptions
from kafka_facade.web.protocol import HttpProtocolFactory
from kafka_facade_devstack.ports import PortPlan


async def test_a_response_that_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        running.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        ended.set()
        raise asyncio.CancelledError

    port = PortPlan.free().rest
    factory: Any = HttpProtocolFactory(HttpOptions())
    config = uvicorn.Config(app, host="127.0.0.1", port=port, http=factory, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110  uvicorn has no event for its start
                await asyncio.sleep(0.01)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await running.wait()
            # Reset the connection: after a mere end, the caller could still read the response.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await ended.wait()
    finally:
        server.should_exit = True
        await serving
    assert "Exception in ASGI application" not in caplog.text
