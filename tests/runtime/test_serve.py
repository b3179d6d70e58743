"""Invalid settings prevent the start with one line that names the setting."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpx
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import PROGRAM, Gateway

READ_ONLY = (str(Path(__file__).with_name("read_only_gateway.py")),)


async def _serve(*options: str, program: Sequence[str] = PROGRAM) -> tuple[int, str]:
    arguments = [part for option in options for part in ("-p", option)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
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
        (["producer.linger.ms=100000"], "producer.linger.ms is '100000'"),
        (["client.linger.ms=2000", "api.request.timeout.ms=3000"], "client.linger.ms is '2000'"),
        (
            ["producer.transactional.id=a"],
            "producer.transactional.id is 'a': the gateway produces without transactions",
        ),
        (["client.acks=2"], "client.acks is '2': expected one of all, -1, 0, 1"),
        (["producer.delivery.report.only.error=true"], "producer.delivery.report.only.error is 'true': not supported"),
        (["producer.default.topic.config=x"], "producer.default.topic.config is 'x': only a program can set it"),
        (["memory.max.bytes=1"], "memory.max.bytes is 1; expected 0 or at least 134217728 for each of 1 workers"),
        (["memory.max.bytes=268435455", "workers=2"], "for each of 2 workers, which is 268435456"),
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


@pytest.fixture
async def read_only_gateway(stack: BackgroundStack) -> AsyncIterator[Gateway]:
    """A gateway without a writable temporary directory."""
    gateway = await stack.start_gateway({}, program=READ_ONLY)
    yield gateway
    await stack.stop_gateway(gateway)


async def test_a_gateway_without_a_temporary_directory(
    read_only_gateway: Gateway, topic: Callable[..., Awaitable[str]]
) -> None:
    schemas = {
        "avro": ('{"type":"record","name":"A","fields":[{"name":"a","type":"int"}]}', {"a": 1}),
        "jsonschema": ('{"type":"object"}', {"a": 1}),
        "protobuf": ('syntax="proto3"; message A { int32 a = 1; }', {"a": 1}),
    }
    found = {}
    async with httpx.AsyncClient(base_url=read_only_gateway.rest, timeout=30) as client:
        for kind, (schema, value) in schemas.items():
            found[kind] = await client.post(
                f"/topics/{await topic()}",
                headers={"content-type": f"application/vnd.kafka.{kind}.v2+json"},
                json={"value_schema": schema, "records": [{"value": value}]},
            )
    assert [answer.status_code for answer in found.values()] == [200, 200, 503]
    assert "compiling a Protobuf schema needs a writable temporary directory; set TMPDIR" in found["protobuf"].text


async def test_several_workers_need_a_temporary_directory() -> None:
    code, output = await _serve("workers=2", "listeners=http://127.0.0.1:0", program=READ_ONLY)
    assert code == 1
    assert "kafka-facade: workers is 2; more than 1 needs a writable temporary directory; set TMPDIR" in output
    assert "Traceback" not in output


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
