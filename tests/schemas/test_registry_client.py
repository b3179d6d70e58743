"""The Schema Registry client: authentication, and libraries that are loaded on demand."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from hostile_registry import running, send
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.model import Format
from kafka_facade.schemas.registry import SchemaRegistry
from kafka_facade_devstack.background import BackgroundStack


class TokenEndpoint(ThreadingHTTPServer):
    """Issues tokens to clients with their credentials (RFC 6749, section 4.4)."""

    daemon_threads = True

    def __init__(self) -> None:
        self.grants: list[str] = []
        super().__init__(("127.0.0.1", 0), _TokenHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token"


class _TokenHandler(BaseHTTPRequestHandler):
    server: TokenEndpoint

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.server.grants += form["grant_type"]
        answer = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def token_endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever)
        thread.start()
        yield endpoint
        endpoint.shutdown()
        thread.join()


def _oauth(stack: BackgroundStack, tokens: str) -> SchemaRegistry:
    properties = {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "facade",
        "bearer.auth.client.secret": "secret",
        "bearer.auth.scope": "schemas",
        "bearer.auth.issuer.endpoint.url": tokens,
        "bearer.auth.logical.cluster": "lsrc-1",
        "bearer.auth.identity.pool.id": "pool-1",
    }
    return SchemaRegistry(stack.schema_registry, properties)


async def test_oauth(stack: BackgroundStack, token_endpoint: TokenEndpoint) -> None:
    registry = _oauth(stack, token_endpoint.url)
    try:
        version = await registry.register("oauth-value", Format.AVRO, '"string"', 10)
        assert version.schema_id > 0
    finally:
        await registry.close()
    assert token_endpoint.grants == ["client_credentials"]


def _token(padding: int) -> dict[str, object]:
    return {"access_token": "t", "token_type": "Bearer", "expires_in": 3600, "padding": "x" * padding}


async def test_answers_of_a_token_endpoint_are_bounded(stack: BackgroundStack) -> None:
    with running() as tokens, running() as other:
        other.answer = send(_token(0))
        answers = {
            "redirected": send(b"", 307, location=f"{other.url}/token"),
            "large": send(_token(70_000)),
            "compressed": send(gzip.compress(json.dumps(_token(0)).encode()), content_encoding="gzip"),
        }
        for answer in answers.values():
            tokens.answer, tokens.asked = answer, []
            registry = _oauth(stack, f"{tokens.url}/token")
            try:
                with pytest.raises(FacadeError):
                    await registry.register("oauth-value", Format.AVRO, '"string"', 10)
            finally:
                await registry.close()
            assert tokens.asked
        assert other.asked == []


def test_authlib_is_loaded_only_for_oauth() -> None:
    program = (
        "import sys; from kafka_facade.schemas.registry import SchemaRegistry; "
        "print([name for name in ('authlib', 'cryptography', 'rpds') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
