"""A gateway with Java settings on a Kafka that requires TLS, a client certificate and SASL."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.ports import HOST
from tls_files import TlsFiles

pytestmark = pytest.mark.xdist_group("secured_kafka")

_SECONDS = 30


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(tls: TlsFiles) -> Iterator[BackgroundStack]:
    """A broker with the listener SECURE, besides."""
    background = BackgroundStack(1, tls=tls.broker_properties)
    background.start()
    yield background
    background.stop()


async def test_key_stores_and_sasl(
    secured: BackgroundStack, tls: TlsFiles, gateway_factory: Callable[..., Awaitable[Gateway]]
) -> None:
    password = secured.super_user["sasl.password"]
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    settings = {
        "bootstrap.servers": f"{HOST}:{secured.stack.ports.secure}",
        "client.security.protocol": "SASL_SSL",
        "client.sasl.mechanism": "PLAIN",
        "client.sasl.jaas.config": f'{module} required username="broker" password="{password}";',
        **{f"client.{name}": value for name, value in tls.pkcs12_properties.items()},
        "log.level": "debug",
    }
    gateway = await gateway_factory(settings, on=secured)
    v2 = {"Content-Type": "application/vnd.kafka.v2+json"}
    binary = {"Accept": "application/vnd.kafka.binary.v2+json"}
    cluster = f"/v3/clusters/{secured.cluster_id}"
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        assert (await client.post(f"{cluster}/topics", json={"topic_name": "secured"})).status_code == 201
        body = '{"records":[{"value":"aGk="}]}'
        produced = await client.post("/topics/secured", content=body, headers=v2 | {"Accept": "*/*"})
        assert produced.json()["offsets"][0]["offset"] == 0
        made = await client.post("/consumers/g", content='{"auto.offset.reset":"earliest"}', headers=v2)
        base = made.json()["base_uri"]
        await client.post(f"{base}/subscription", content='{"topics":["secured"]}', headers=v2)
        records: list[object] = []
        async with asyncio.timeout(_SECONDS):
            while not records:
                records = (await client.get(f"{base}/records?timeout=1000", headers=binary)).json()
        # These go through the other client, with the same certificate.
        group = await client.get(f"{cluster}/consumer-groups/g")
        assert group.json()["state"] == "STABLE"
        assert (await client.get(f"{cluster}/topics/-/partitions/-/reassignment")).status_code == 200
        await client.delete(base)
    log = gateway.child.log.read_text()
    assert password not in log
    assert tls.password not in log
    assert "PRIVATE KEY" not in log


async def test_without_a_client_certificate(
    secured: BackgroundStack, tls: TlsFiles, gateway_factory: Callable[..., Awaitable[Gateway]]
) -> None:
    trust = {name: value for name, value in tls.pkcs12_properties.items() if "truststore" in name}
    login = {name: value for name, value in secured.super_user.items() if name.startswith("sasl.")}
    settings = {
        "bootstrap.servers": f"{HOST}:{secured.stack.ports.secure}",
        "client.security.protocol": "SASL_SSL",
        **{f"client.{name}": value for name, value in (trust | login).items()},
    }
    gateway = await gateway_factory(settings, on=secured, answering=False)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        answer = await client.get("/v3/clusters")
    assert (answer.status_code, answer.json()["error_code"]) == (401, 40101)
