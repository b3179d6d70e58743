"""A registry that sends more than the answer on a connection that the client keeps alive."""

import json
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kafka_facade.core.errors import SchemaLookupFailed
from kafka_facade.schemas.registry import SchemaRegistry
from tls_files import TlsFiles

_WRONG = b'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"schema":"\\"int\\""}'
_SURPLUSES = [_WRONG, _WRONG * 3, _WRONG[:20], b"\r\n", b"x", _WRONG + b" " * 100_000]
# Bytes that the client reads at once, and that a record of TLS holds.
_EDGES = (8 * 1024, 16 * 1024, 64 * 1024)


class _Server:
    """Answers with the schema of a record named after the id, and sends a surplus with it."""

    def __init__(self, surplus: bytes, *, status: str = "200 OK", size: int = 0, files: TlsFiles | None = None) -> None:
        self.connections = 0
        self._surplus = surplus
        self._status = status
        self._size = size
        self._context = None
        if files is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files.server_pem)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                asked = b""
                while data := connection.recv(65536):
                    asked += data
                    while b"\r\n\r\n" in asked:
                        head, _, asked = asked.partition(b"\r\n\r\n")
                        found = re.search(rb"/schemas/ids/([0-9]+)", head)
                        connection.sendall(self._answer(int(found[1]) if found else 0) + self._surplus)

    def _answer(self, schema_id: int) -> bytes:
        schema = {"type": "record", "name": f"R{schema_id}", "fields": []}
        body = json.dumps({"schema": json.dumps(schema)} | {"error_code": 40403, "message": "none"}).encode()
        head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n"
        status = self._status.encode()
        body += b" " * (self._size - len(body) - len(head % (status, max(self._size - 50, 10))))
        return head % (status, len(body)) + body

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


Serve = Callable[..., _Server]
Connect = Callable[[str, dict[str, str]], SchemaRegistry]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[_Server] = []

    def start(*arguments: bytes, **options: object) -> _Server:
        servers.append(_Server(*arguments, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    registries: list[SchemaRegistry] = []

    def start(url: str, properties: dict[str, str]) -> SchemaRegistry:
        registries.append(SchemaRegistry(url, properties))
        return registries[-1]

    yield start
    for registry in registries:
        await registry.close()


@pytest.mark.parametrize("surplus", _SURPLUSES, ids=range(len(_SURPLUSES)))
async def test_a_surplus_is_not_the_next_answer(serve: Serve, connect: Connect, surplus: bytes) -> None:
    server = serve(surplus)
    registry = connect(f"http://127.0.0.1:{server.port}", {})
    for schema_id in (1, 2, 3):
        assert (await registry.schema(schema_id, 5)).record_name == f"R{schema_id}"
    assert server.connections == 3


@pytest.mark.parametrize("edge", _EDGES)
async def test_a_surplus_that_begins_with_another_read(serve: Serve, connect: Connect, edge: int) -> None:
    server = serve(_WRONG, size=edge)
    registry = connect(f"http://127.0.0.1:{server.port}", {})
    for schema_id in (1, 2, 3):
        assert (await registry.schema(schema_id, 5)).record_name == f"R{schema_id}"
    assert server.connections == 3


@pytest.mark.parametrize("edge", [0, *_EDGES])
async def test_a_surplus_over_tls(serve: Serve, connect: Connect, tmp_path: Path, edge: int) -> None:
    files = TlsFiles(tmp_path)
    server = serve(_WRONG, size=edge, files=files)
    registry = connect(f"https://127.0.0.1:{server.port}", {"ssl.ca.location": str(files.authority_pem)})
    for schema_id in (1, 2, 3):
        assert (await registry.schema(schema_id, 5)).record_name == f"R{schema_id}"
    assert server.connections == 3


async def test_a_surplus_behind_an_error(serve: Serve, connect: Connect) -> None:
    server = serve(_WRONG, status="404 Not Found")
    registry = connect(f"http://127.0.0.1:{server.port}", {})
    for schema_id in (1, 2, 3):
        with pytest.raises(SchemaLookupFailed, match="none; error code: 40403"):
            await registry.schema(schema_id, 5)
    assert server.connections == 3


@pytest.mark.parametrize("secured", [False, True])
async def test_a_connection_without_a_surplus_is_kept(
    serve: Serve, connect: Connect, tmp_path: Path, secured: bool
) -> None:
    files = TlsFiles(tmp_path) if secured else None
    server = serve(b"", size=300_000, files=files)
    scheme, properties = ("https", {"ssl.ca.location": str(files.authority_pem)}) if files else ("http", {})
    registry = connect(f"{scheme}://127.0.0.1:{server.port}", properties)
    for schema_id in (1, 2, 3):
        assert (await registry.schema(schema_id, 5)).record_name == f"R{schema_id}"
    assert server.connections == 1
