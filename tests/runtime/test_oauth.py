"""Logins with OAUTHBEARER: the gateway fetches tokens that a broker of the development stack accepts, or not."""

import asyncio
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.kafka_node import ClusterLayout

pytestmark = pytest.mark.xdist_group("oauth")

_SECONDS = 30
_SECRET = "0auth-canary-31d8"
_MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


@pytest.fixture(scope="module")
def oauth_stack() -> Iterator[BackgroundStack]:
    """A broker whose SASL listener accepts unsecured tokens, besides."""
    usual = ClusterLayout.properties

    def properties(layout: ClusterLayout, index: int, log_dir: Path) -> dict[str, str]:
        found = usual(layout, index, log_dir)
        found["listener.name.internal.sasl.enabled.mechanisms"] += ",OAUTHBEARER"
        login = f'{_MODULE} required unsecuredLoginStringClaim_sub="broker";'
        return found | {"listener.name.internal.oauthbearer.sasl.jaas.config": login}

    background = BackgroundStack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterLayout, "properties", properties)
        background.start()
    yield background
    background.stop()


def _part(document: dict[str, object]) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def _token(algorithm: str = "none", signature: str = "", lasts: float = 3600) -> dict[str, object]:
    """The answer of an endpoint: a token in the sense of RFC 7515, appendix A.5."""
    now = int(time.time())
    claims = _part({"sub": "facade", "scope": "kafka", "iat": now - 60, "exp": now + lasts})
    token = f"{_part({'alg': algorithm})}.{claims}.{signature}"
    return {"access_token": token, "token_type": "Bearer", "expires_in": lasts}


ANSWERS: dict[str, Callable[[], dict[str, object]]] = {
    "right": _token,
    "signed": lambda: _token("HS256", "c2lnbmVk"),
    "not-a-token": lambda: {"access_token": "token", "token_type": "Bearer"},
    "empty": dict,
}


class _Endpoint(BaseHTTPRequestHandler):
    """A token endpoint whose paths are the names of its answers."""

    asked: list[str]

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(said.decode())  # type: ignore[attr-defined]
        answer = json.dumps(ANSWERS[self.path.strip("/")]()).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Endpoint)


@pytest.fixture
def endpoint() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _settings(stack: BackgroundStack, endpoint: _Server, answer: str, login: dict[str, str]) -> dict[str, str]:
    return {
        "bootstrap.servers": stack.super_user["bootstrap.servers"],
        "client.security.protocol": "SASL_PLAINTEXT",
        "client.sasl.mechanism": "OAUTHBEARER",
        "client.sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{endpoint.server_port}/{answer}",
        "log.level": "debug",
        **login,
    }


JAAS = {"client.sasl.jaas.config": f'{_MODULE} required clientId="facade" clientSecret="{_SECRET}" scope="kafka";'}
NAMES = {
    "client.sasl.oauthbearer.client.credentials.client.id": "facade",
    "client.sasl.oauthbearer.client.credentials.client.secret": _SECRET,
    "client.sasl.oauthbearer.scope": "kafka",
}


@pytest.mark.parametrize("login", [JAAS, NAMES], ids=["login module", "names of Kafka 4.1"])
async def test_a_login(
    oauth_stack: BackgroundStack,
    endpoint: _Server,
    gateway_factory: Callable[..., Awaitable[Gateway]],
    login: dict[str, str],
) -> None:
    gateway = await gateway_factory(_settings(oauth_stack, endpoint, "right", login), on=oauth_stack)
    cluster = f"/v3/clusters/{oauth_stack.cluster_id}"
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    binary = {"Accept": "application/vnd.kafka.binary.v2+json"}
    name = f"oauth-{endpoint.server_port}"
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        assert (await client.post(f"{cluster}/topics", json={"topic_name": name})).status_code == 201
        produced = await client.post(f"/topics/{name}", content='{"records":[{"value":"aGk="}]}', headers=v2)
        assert produced.json()["offsets"][0]["offset"] == 0
        made = await client.post(f"/consumers/{name}", content='{"auto.offset.reset":"earliest"}', headers=v2)
        base = made.json()["base_uri"]
        await client.post(f"{base}/subscription", json={"topics": [name]}, headers=v2)
        records: list[dict[str, object]] = []
        async with asyncio.timeout(_SECONDS):
            while not records:
                records = (await client.get(f"{base}/records?timeout=1000", headers=binary)).json()
        assert [record["value"] for record in records] == ["aGk="]
        assert (await client.get(f"{cluster}/consumer-groups/{name}")).json()["state"] == "STABLE"
        topic = f"{cluster}/topics/{name}"
        assert (await client.get(f"{topic}/configs")).status_code == 200
        assert (await client.get(topic)).json()["partitions_count"] == 1
        # Only librdkafka fetches tokens; what needs the other client says so.
        for path in ("broker-configs", "topics/-/partitions/-/reassignment"):
            found = (await client.get(f"{cluster}/{path}")).json()
            expected = "This operation cannot connect to Kafka with sasl.mechanism=OAUTHBEARER."
            assert (found["error_code"], found["message"]) == (50002, expected)
        await client.delete(base, headers=v2)
    assert any("scope=kafka" in asked for asked in endpoint.asked)
    log = gateway.child.log.read_text()
    assert _SECRET not in log
    assert str(_token()["access_token"]).partition(".")[0] not in log


@pytest.mark.parametrize("answer", [name for name in ANSWERS if name != "right"])
async def test_a_wrong_answer_of_the_endpoint_is_401(
    oauth_stack: BackgroundStack,
    endpoint: _Server,
    gateway_factory: Callable[..., Awaitable[Gateway]],
    answer: str,
) -> None:
    gateway = await gateway_factory(_settings(oauth_stack, endpoint, answer, JAAS), on=oauth_stack, answering=False)
    cluster = f"/v3/clusters/{oauth_stack.cluster_id}"
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, headers=v2) as client:
        for method, path, content in (
            ("GET", "/v3/clusters", None),
            ("GET", f"{cluster}/topics", None),
            ("GET", f"{cluster}/consumer-groups", None),
            ("POST", "/topics/t", '{"records":[{"value":"aGk="}]}'),
        ):
            found = await client.request(method, path, content=content)
            assert (found.status_code, found.json()["error_code"]) == (401, 40101), path
    assert _SECRET not in gateway.child.log.read_text()
