"""Requests through kafka-python: security, unavailable brokers, and settings."""

import asyncio
import gc
import ssl
import time
import weakref
from pathlib import Path

import pytest

from kafka_facade.core import errors
from kafka_facade.kafka.admin.reassignments import Reassignments
from kafka_facade.kafka.protocol.settings import protocol_config
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.ports import PortPlan
from protocol_clients import MakeProtocol, ProtocolThreads


async def test_sasl(stack: BackgroundStack, make: MakeProtocol) -> None:
    client = make(dict(stack.super_user))
    assert await Reassignments(client).list_reassignments(20) == []
    began = time.monotonic()
    many = await asyncio.gather(*(Reassignments(client).list_reassignments(20) for _ in range(50)))
    assert many == [[]] * 50
    assert time.monotonic() - began < 4


async def test_a_caller_that_gives_up_at_once(stack: BackgroundStack, make: MakeProtocol) -> None:
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    for timeout in (0, 0.001):
        with pytest.raises(errors.KafkaTimeout):
            await Reassignments(client).list_reassignments(timeout)
    assert await Reassignments(client).list_reassignments(20) == []


async def test_a_cancelled_call_leaves_no_reference_cycle(stack: BackgroundStack, make: MakeProtocol) -> None:
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    reassignments = Reassignments(client)
    await reassignments.list_reassignments(20)
    gc.collect()
    gc.disable()
    try:
        task = asyncio.create_task(reassignments.list_reassignments(20))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        gone = weakref.ref(task)
        del task
        # The answer comes all the same.
        await asyncio.sleep(1)
        assert gone() is None
    finally:
        gc.enable()


async def test_a_wrong_password(stack: BackgroundStack, make: MakeProtocol) -> None:
    client = make(stack.super_user | {"sasl.password": "wrong"})
    began = time.monotonic()
    with pytest.raises((errors.RetriableKafkaError, errors.KafkaAuthenticationFailed)):
        await Reassignments(client).list_reassignments(3)
    assert time.monotonic() - began < 5


async def test_no_broker(make: MakeProtocol) -> None:
    client = make({"bootstrap.servers": f"127.0.0.1:{PortPlan.free().rest}"})
    began = time.monotonic()
    with pytest.raises(errors.RetriableKafkaError):
        await Reassignments(client).list_reassignments(2)
    assert time.monotonic() - began < 4


async def test_a_request_that_brokers_do_not_know_leaves_the_connections(
    stack: BackgroundStack, make: MakeProtocol, protocol_threads: ProtocolThreads
) -> None:
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    await Reassignments(client).list_reassignments(20)
    [before] = protocol_threads()
    with pytest.raises(errors.UnsupportedVersion):
        await client.send(lambda admin: admin.DescribeQuorumRequest(topics=[], min_version=99), 10)
    await Reassignments(client).list_reassignments(20)
    [after] = protocol_threads()
    assert after is before


async def test_a_closed_client(stack: BackgroundStack, make: MakeProtocol) -> None:
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    assert await Reassignments(client).list_reassignments(20) == []
    await client.close()
    with pytest.raises(errors.KafkaError):
        await Reassignments(client).list_reassignments(20)


def test_settings() -> None:
    found = protocol_config(
        {
            "bootstrap.servers": "a:1,b:2",
            "client.id": "x",
            "security.protocol": "sasl_ssl",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": "ann",
            "sasl.password": "secret",
            "connections.max.idle.ms": "1000",
            "linger.ms": "5",
        }
    )
    context = found.pop("ssl_context")
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert found == {
        "bootstrap_servers": ["a:1", "b:2"],
        "client_id": "x",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "secret",
        "connections_max_idle_ms": 1000,
        "reconnect_backoff_max_ms": 1000,
        "receive_message_max_bytes": 100_000_000,
        "max_in_flight_requests_per_connection": 100,
    }


def test_tls_that_does_not_verify() -> None:
    base = {"bootstrap.servers": "a:1", "security.protocol": "SSL"}
    unnamed = protocol_config(base | {"ssl.endpoint.identification.algorithm": ""})["ssl_context"]
    assert (unnamed.check_hostname, unnamed.verify_mode) == (False, ssl.CERT_REQUIRED)
    unverified = protocol_config(base | {"enable.ssl.certificate.verification": "false"})["ssl_context"]
    assert (unverified.check_hostname, unverified.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism=OAUTHBEARER"),
        ({"security.protocol": "SASL_PLAINTEXT"}, "sasl.mechanism=GSSAPI"),
        ({"security.protocol": "SSL", "ssl.keystore.location": "/k.p12"}, "ssl.keystore.location=/k.p12"),
        ({"security.protocol": "SSL", "ssl.curves.list": "P-521"}, "ssl.curves.list=..."),
        ({"security.protocol": "SSL", "ssl.sigalgs.list": "ed25519"}, "ssl.sigalgs.list=..."),
        ({"security.protocol": "SSL", "ssl.key.pem": "-----BEGIN"}, "TLS settings"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"}, "TLS settings"),
        ({"security.protocol": "SSL", "ssl.ca.pem": "none"}, "TLS settings"),
    ],
)
def test_settings_that_do_not_translate(settings: dict[str, str], named: str) -> None:
    with pytest.raises(errors.KafkaError) as caught:
        protocol_config({"bootstrap.servers": "a:1", **settings})
    assert named in caught.value.message
    assert "BEGIN" not in caught.value.message


def test_certificates_are_read(tmp_path: Path) -> None:
    authorities = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
    base = {"bootstrap.servers": "a:1", "security.protocol": "SSL"}
    if Path(authorities).exists():
        assert protocol_config(base | {"ssl.ca.location": authorities})["ssl_context"].get_ca_certs()
    assert not protocol_config(base | {"ssl.ca.location": str(tmp_path)})["ssl_context"].get_ca_certs()
