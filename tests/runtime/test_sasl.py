"""SASL authentication to Kafka, and the errors on each face if Kafka rejects the credentials."""

import asyncio
import json
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from google.protobuf.empty_pb2 import Empty

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc, topic_pb2, topic_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.xdist_group("sasl")

_SECONDS = 20
_WRONG = "wr0ng-canary-5b1f"
# Far from the time that a request has (30 s), and not too near what it takes on a busy machine.
_AT_ONCE_SECONDS = 10


async def _scram_user(stack: BackgroundStack, name: str, password: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    change = UserScramCredentialUpsertion(name, info, password.encode())
    admin = AdminClient(dict(stack.super_user))
    for future in admin.alter_user_scram_credentials([change]).values():
        await asyncio.to_thread(future.result, _SECONDS)


def _login(stack: BackgroundStack, name: str, password: str) -> dict[str, str]:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {
        "bootstrap.servers": stack.super_user["bootstrap.servers"],
        "client.security.protocol": "SASL_PLAINTEXT",
        "client.sasl.mechanism": "SCRAM-SHA-512",
        "client.sasl.jaas.config": f'{module} required username="{name}" password="{password}";',
        "log.level": "debug",
    }


@pytest.fixture(scope="module")
async def wrong(stack: BackgroundStack) -> AsyncIterator[Gateway]:
    """A gateway with a password that Kafka rejects."""
    started = await stack.start_gateway(_login(stack, "nobody", _WRONG), answering=False)
    yield started
    await stack.stop_gateway(started)


@pytest.mark.parametrize("name", ["scram", "scram=3D,2C"])
async def test_scram(
    stack: BackgroundStack,
    gateway_factory: Callable[..., Awaitable[Gateway]],
    topic: Callable[..., Awaitable[str]],
    name: str,
) -> None:
    name = f"{name}-{uuid.uuid4().hex[:8]}"
    password = "c0rrect-canary-77aa"
    await _scram_user(stack, name, password)
    gateway = await gateway_factory(_login(stack, name, password))
    created = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        produced = await client.post(
            f"/topics/{created}",
            content='{"records":[{"value":"aGk="}]}',
            headers={"Content-Type": "application/vnd.kafka.v2+json"},
        )
        assert produced.json()["offsets"][0]["offset"] == 0
        # Groups and configs go through another client.
        assert (await client.get(f"/v3/clusters/{stack.cluster_id}/consumer-groups")).status_code == 200
        assert (await client.get(f"/v3/clusters/{stack.cluster_id}/broker-configs")).status_code == 200
        moved = f"/v3/clusters/{stack.cluster_id}/topics/-/partitions/-/reassignment"
        assert (await client.get(moved)).status_code == 200
    log = gateway.child.log.read_text()
    assert password not in log
    assert "No bootstrap.servers" not in log


async def test_a_wrong_password_is_401_at_once_on_rest(stack: BackgroundStack, wrong: Gateway) -> None:
    cluster = f"/v3/clusters/{stack.cluster_id}"
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    record: dict[str, object] = {"content": '{"records":[{"value":"aGk="}]}', "headers": v2}
    requests: list[tuple[str, str, dict[str, object]]] = [
        ("GET", "/v3/clusters", {}),
        ("GET", f"{cluster}/topics", {}),
        ("GET", f"{cluster}/consumer-groups", {}),
        ("GET", f"{cluster}/acls", {}),
        ("GET", f"{cluster}/broker-configs", {}),
        ("GET", f"{cluster}/topics/-/partitions/-/reassignment", {}),
        ("POST", f"{cluster}/topics", {"json": {"topic_name": "t"}}),
        ("GET", "/topics", {}),
        ("GET", "/brokers", {}),
        ("GET", "/topics/t/partitions", {}),
        ("POST", "/topics/t", record),
    ]
    async with httpx.AsyncClient(base_url=wrong.rest, timeout=_SECONDS) as client:
        for method, path, more in requests:
            began = time.monotonic()
            answer = await client.request(method, path, **more)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["error_code"]) == (401, 40101), path
            assert time.monotonic() - began < _AT_ONCE_SECONDS, path
            assert _WRONG not in answer.text


async def test_a_consumer_instance_with_a_wrong_password(wrong: Gateway) -> None:
    v2 = {"Content-Type": "application/vnd.kafka.v2+json", "Accept": "application/vnd.kafka.binary.v2+json"}
    async with httpx.AsyncClient(base_url=wrong.rest, timeout=_SECONDS, headers=v2) as client:
        made = await client.post(
            "/consumers/refused", content="{}", headers={"Accept": "application/vnd.kafka.v2+json"}
        )
        base = made.json()["base_uri"]
        await client.post(f"{base}/subscription", json={"topics": ["t"]})
        deadline = time.monotonic() + _AT_ONCE_SECONDS
        while (answer := await client.get(f"{base}/records?timeout=500")).status_code == 200:
            assert time.monotonic() < deadline
        assert (answer.status_code, answer.json()["error_code"]) == (401, 40101)
        await client.delete(base)


async def test_a_wrong_password_on_grpc(stack: BackgroundStack, wrong: Gateway) -> None:
    async with grpc.aio.insecure_channel(wrong.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = topic_pb2_grpc.TopicServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListTopics(topic_pb2.ListTopicsRequest(cluster_id=stack.cluster_id), timeout=_AT_ONCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert _WRONG not in str(caught.value.details())


async def test_a_wrong_password_on_graphql(wrong: Gateway) -> None:
    query = {"query": "{ clusters { topics { nodes { topicName } } } }"}
    async with httpx.AsyncClient(timeout=_AT_ONCE_SECONDS) as client:
        answer = await client.post(wrong.graphql, json=query)
    [error] = answer.json()["errors"]
    assert error["extensions"]["code"] in ("UNAUTHENTICATED", "KAFKA_AUTHENTICATION_FAILED")
    assert _WRONG not in answer.text


async def test_a_wrong_password_is_not_logged(wrong: Gateway) -> None:
    log = wrong.child.log.read_text()
    assert "Authentication failed" in log
    assert _WRONG not in log
    assert "jaas" not in log.lower()


class _RefusingEndpoint(BaseHTTPRequestHandler):
    """A token endpoint that rejects each client, and repeats what it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = self.headers["authorization"].split()[-1]
        answer = json.dumps({"error": "invalid_client", "error_description": f"unknown: {said}"}).encode()
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing_endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _RefusingEndpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


@pytest.mark.parametrize(
    "login",
    [
        {
            "client.sasl.oauthbearer.method": "oidc",
            "client.sasl.oauthbearer.client.id": "facade",
            "client.sasl.oauthbearer.client.secret": _WRONG,
        },
        {"client.sasl.jaas.config": f'{_OAUTH} required clientId="facade" clientSecret="{_WRONG}";'},
    ],
    ids=["librdkafka", "java"],
)
async def test_a_wrong_oauth_secret(
    stack: BackgroundStack,
    gateway_factory: Callable[..., Awaitable[Gateway]],
    refusing_endpoint: str,
    login: dict[str, str],
) -> None:
    settings = {
        "bootstrap.servers": stack.super_user["bootstrap.servers"],
        "client.security.protocol": "SASL_PLAINTEXT",
        "client.sasl.mechanism": "OAUTHBEARER",
        "client.sasl.oauthbearer.token.endpoint.url": refusing_endpoint,
        "log.level": "debug",
    }
    gateway = await gateway_factory(settings | login, answering=False)
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    cluster = f"/v3/clusters/{stack.cluster_id}"
    # Longer than a rejection by Kafka counts: this one is not reported again.
    await asyncio.sleep(5)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, headers=v2) as client:
        for method, path, content in (
            ("GET", "/v3/clusters", None),
            ("GET", f"{cluster}/topics", None),
            ("GET", f"{cluster}/consumer-groups", None),
            ("POST", "/topics/t", '{"records":[{"value":"aGk="}]}'),
            ("GET", "/v3/clusters", None),
        ):
            began = time.monotonic()
            answer = await client.request(method, path, content=content)
            assert (answer.status_code, answer.json()["error_code"]) == (401, 40101), path
            assert time.monotonic() - began < _AT_ONCE_SECONDS, path
        base = (await client.post("/consumers/refused", content="{}")).json()["base_uri"]
        await client.post(f"{base}/subscription", json={"topics": ["t"]})
        await asyncio.sleep(3)
        for _ in range(2):
            read = await client.get(
                f"{base}/records?timeout=5000", headers={"Accept": "application/vnd.kafka.binary.v2+json"}
            )
            assert (read.status_code, read.json()["error_code"]) == (401, 40101)
        await client.delete(base)
    log = gateway.child.log.read_text()
    assert "Failed to retrieve OIDC token" in log
    assert _WRONG not in log
    sent = b64encode(f"facade:{_WRONG}".encode()).decode()
    assert sent[-20:] not in log
    assert sent[12:32] not in log


async def test_credentials_that_kafka_accepts_later(
    stack: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]]
) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    gateway = await gateway_factory(_login(stack, name, "l4ter-canary-91bc"), answering=False)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        assert (await client.get("/v3/clusters")).status_code == 401
        await _scram_user(stack, name, "l4ter-canary-91bc")
        deadline = time.monotonic() + _SECONDS
        while (await client.get("/v3/clusters")).status_code != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_wrong_credentials_of_consumers_only(
    stack: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]], topic: Callable[..., Awaitable[str]]
) -> None:
    name, group = await topic(), f"g-{uuid.uuid4().hex[:8]}"
    right = {f"client.{key}": value for key, value in stack.super_user.items() if key != "bootstrap.servers"}
    servers = {"bootstrap.servers": stack.super_user["bootstrap.servers"]}
    gateway = await gateway_factory(servers | right | {"consumer.sasl.password": _WRONG})
    async with grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        read = record_pb2_grpc.RecordServiceStub(channel).Consume(
            record_pb2.ConsumeRequest(topic_name=name, earliest=Empty()), timeout=_AT_ONCE_SECONDS
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [frame async for frame in read]
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    binary = {"Accept": "application/vnd.kafka.binary.v2+json"}
    partitions: dict[str, Any] = {"partitions": [{"topic": name, "partition": 0}]}
    committed = {"offsets": [{"topic": name, "partition": 0, "offset": 1}]}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_AT_ONCE_SECONDS) as client:
        # The others are fine.
        assert (await client.get(f"/v3/clusters/{stack.cluster_id}/topics/{name}")).status_code == 200
        base = (await client.post(f"/consumers/{group}", content="{}", headers=v2)).json()["base_uri"]
        assert (await client.post(f"{base}/assignments", json=partitions, headers=v2)).status_code == 204
        for answer in (
            await client.request("GET", f"{base}/offsets", json=partitions, headers=v2),
            await client.post(f"{base}/positions/end", json=partitions, headers=v2),
            await client.post(f"{base}/offsets", json=committed, headers=v2),
            # Rejected requests do not block later ones.
            await client.get(f"{base}/records?timeout=500", headers=binary),
        ):
            assert (answer.status_code, answer.json()["error_code"]) == (401, 40101), answer.request.url
        assert (await client.delete(base, headers=v2)).status_code == 204


async def test_a_token_endpoint_that_is_down(
    stack: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]]
) -> None:
    settings = {
        "bootstrap.servers": stack.super_user["bootstrap.servers"],
        "client.security.protocol": "SASL_PLAINTEXT",
        "client.sasl.mechanism": "OAUTHBEARER",
        "client.sasl.oauthbearer.method": "oidc",
        "client.sasl.oauthbearer.client.id": "facade",
        "client.sasl.oauthbearer.client.secret": _WRONG,
        # Nothing listens there.
        "client.sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:9/token",
    }
    gateway = await gateway_factory(settings, answering=False)
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    await asyncio.sleep(5)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, headers=v2) as client:
        for method, path, content in (
            ("GET", "/v3/clusters", None),
            ("GET", f"/v3/clusters/{stack.cluster_id}/topics", None),
            ("POST", "/topics/t", '{"records":[{"value":"aGk="}]}'),
        ):
            began = time.monotonic()
            answer = await client.request(method, path, content=content)
            assert (answer.status_code, answer.json()["error_code"]) == (500, 50003), path
            assert "token endpoint" in answer.json()["message"]
            assert time.monotonic() - began < _AT_ONCE_SECONDS, path
        base = (await client.post("/consumers/waiting", content="{}")).json()["base_uri"]
        await client.post(f"{base}/subscription", json={"topics": ["t"]})
        await asyncio.sleep(3)
        read = await client.get(
            f"{base}/records?timeout=5000", headers={"Accept": "application/vnd.kafka.binary.v2+json"}
        )
        assert (read.status_code, read.json()["error_code"]) == (500, 50003)
        await client.delete(base)
