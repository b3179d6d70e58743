"""HTTP load, and the least that the HTTP server can do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import tempfile
import time
from typing import Any

import uvicorn

from kafka_facade.web.options import HttpOptions
from kafka_facade.web.protocol import HttpProtocolFactory
from kafka_facade_devstack.ports import PortPlan


class HttpConnection:
    """One kept-alive connection that sends ready-made requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> HttpConnection:
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=2**26))

    async def send(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b" 204 " in head[:16]:
            return b""
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await self._reader.readexactly(length)
        else:
            body = b""
            while True:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                body += (await self._reader.readexactly(size + 2))[:-2]
                if not size:
                    break
        assert head[9:12] in (b"200", b"201"), (head, body)
        return body

    def close(self) -> None:
        self._writer.close()


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def empty_handler(scope: Any, receive: Any, send: Any) -> None:
    """Reads a request and answers the least that an answer can be."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


class EmptyServer:
    """The empty handler on the gateway's HTTP server, in a process of its own."""

    async def __aenter__(self) -> str:
        port = PortPlan.free().rest
        self._process = await asyncio.create_subprocess_exec(sys.executable, __file__, str(port))
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return f"http://127.0.0.1:{port}"
                await asyncio.sleep(0.05)

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await self._process.wait()


async def load(url: str, body: str, content_type: str, connections: int, seconds: float) -> tuple[int, float]:
    """POST the same body over all connections again and again: how many were answered, in how many seconds."""
    if shutil.which("wrk"):
        return await _wrk(url, body, content_type, connections, seconds)
    return await _python(url, body, content_type, connections, seconds)


async def _wrk(url: str, body: str, content_type: str, connections: int, seconds: float) -> tuple[int, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = '{content_type}'\n")
        script.write(f"wrk.body = [==[{body}]==]\n")
        script.flush()
        options = ["-t1", "--timeout", "10", f"-c{connections}", f"-d{round(seconds)}s", "-s", script.name]
        process = await asyncio.create_subprocess_exec("wrk", *options, url, stdout=asyncio.subprocess.PIPE)
        said = (await process.communicate())[0].decode()
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    assert found, said
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    return int(found[1]), float(found[2])


async def _python(url: str, body: str, content_type: str, connections: int, seconds: float) -> tuple[int, float]:
    host, _, path = url.removeprefix("http://").partition("/")
    request = post(f"/{path}", body.encode(), content_type)
    started = time.perf_counter()

    async def caller() -> int:
        connection = await HttpConnection.open(f"http://{host}")
        sent = 0
        while time.perf_counter() - started < seconds:
            await connection.send(request)
            sent += 1
        connection.close()
        return sent

    sent = sum(await asyncio.gather(*(caller() for _ in range(connections))))
    return sent, time.perf_counter() - started


if __name__ == "__main__":
    uvicorn.run(
        empty_handler,
        port=int(sys.argv[1]),
        loop="uvloop",
        http=HttpProtocolFactory(HttpOptions()),  # type: ignore[arg-type]
        log_config=None,
        server_header=False,
    )
