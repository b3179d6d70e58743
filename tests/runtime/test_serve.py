"""Invalid settings prevent the start with one line that names the setting."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest

from kafka_facade_devstack.gateway import Gateway


async def _serve(*options: str) -> tuple[int, str]:
    arguments = [part for option in options for part in ("-p", option)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kafka_facade",
        "serve",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["workers=many"], "workers is 'many'; expected a whole number from 1 to 256"),
        (["api.endpoints.blocklist=api.v3.topic.list"], "api.endpoints.blocklist has 'api.v3.topic.list'"),
        (["listeners=", "grpc.listeners="], "listeners and grpc.listeners are both empty"),
        (["producer.linger.ms=soon"], "producer.linger.ms is 'soon'"),
        (["bootstrap.servers=SSL://kafka:9092"], "the protocol of client.security.protocol, which is PLAINTEXT"),
        (["bootstrap.servers=kafka:1,PLAINTEXT://kafka:2", "admin.security.protocol=SSL"], "admin.security.protocol"),
    ],
)
async def test_an_invalid_setting_is_reported_in_one_line(options: list[str], said: str) -> None:
    code, output = await _serve(*options)
    assert code == 1
    assert output.startswith("kafka-facade: ")
    assert said in output
    assert output.count("\n") == 1


@pytest.mark.parametrize("key", ["listeners", "grpc.listeners"])
async def test_a_port_in_use_is_reported_in_one_line(key: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = {"listeners": "grpc.listeners", "grpc.listeners": "listeners"}[key]
        scheme = {"listeners": "http", "grpc.listeners": "grpc"}[key]
        code, output = await _serve(f"{key}={scheme}://{address}", f"{other}=")
        assert code == 1
        assert f"can't listen on {address}: the port is taken" in output.splitlines()[-1]
        assert "Traceback" not in output


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("consumer.instances.maximum=5", "consumer.instances.max"),
        ("consumer.max.instances=5", "consumer.instances.max"),
        ("consumer.request.max.byte=1000", "consumer.request.max.bytes"),
        ("consumer.prefetch.max.byte=1000", "consumer.prefetch.max.bytes"),
    ],
)
async def test_a_misspelled_limit_prevents_the_start(option: str, meant: str) -> None:
    code, output = await _serve(option)
    assert code == 1
    assert f"{option.partition('=')[0]} isn't known; {meant} resembles it" in output.splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_messages_of_workers_are_logged(gateway_factory: Callable[..., Awaitable[Gateway]], workers: str) -> None:
    gateway = await gateway_factory({"workers": workers, "bogus.key": "1", "producer.bogus": "1", "client.bar": "1"})
    started = "INFO uvicorn.error: Application startup complete"
    for _ in range(100):
        log = gateway.child.log.read_text()
        if log.count(started) == int(workers):
            break
        await asyncio.sleep(0.1)
    assert log.count(started) == int(workers)
    assert "the setting bogus.key isn't known and has no effect" in log
    for key in ("producer.bogus", "client.bar"):
        assert log.count(f"the Kafka client setting {key} isn't known and has no effect") == 1
    assert ".bar isn't" not in log.replace("client.bar", "")
