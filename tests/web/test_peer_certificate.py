"""The TLS certificate of a caller, as applications get it."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kafka_facade.web.options import HttpOptions
from kafka_facade.web.protocol import HttpProtocolFactory
from kafka_facade.web.scope import peer_certificate
from kafka_facade_devstack.ports import PortPlan
from tls_files import TlsFiles


@pytest.mark.parametrize("presented", [True, False])
async def test_the_caller_s_certificate(tmp_path: Path, presented: bool) -> None:
    files = TlsFiles(tmp_path)
    client = tmp_path / "plain-client.pem"
    client.write_text(files.client_key + files.client_chain)
    found: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(peer_certificate(scope))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    port = PortPlan.free().rest
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            http=HttpProtocolFactory(HttpOptions()),  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            ssl_certfile=files.server_pem,
            ssl_keyfile=str(files.server_pem),
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
            ssl_ca_certs=str(files.authority_pem),
        )
    )
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110  uvicorn has no event for its start
                await asyncio.sleep(0.01)
            context = ssl.create_default_context(cafile=str(files.authority_pem))
            if presented:
                context.load_cert_chain(client)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 204 ")
            writer.close()
    finally:
        server.should_exit = True
        await serving
    assert found == [files.client_certificate if presented else None]
