"""With a blocked log output the gateway serves and ends, and later logs the number of dropped lines."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.ports import HOST, PortPlan

TIMEOUT_MS = 4000
# What a busy machine may add (s).
SLACK = 10.0
STUCK = Path(__file__).with_name("stuck_gateway.py")

LOGGING = """
import logging, sys
from kafka_facade.runtime.ending import exit_now
from kafka_facade.runtime.log import configure_logging

configure_logging("info")
logger = logging.getLogger("kafka_facade.test")
count = int(sys.argv[1])
for number in range(count):
    logger.info("line %d %s", number, "x" * 1000)
print("logged", flush=True)
sys.stdin.readline()
logger.info("at the end")
if sys.argv[2] == "exit_now":
    exit_now(0)
"""


def _fill(descriptor: int) -> None:
    """Fill a pipe that has no reader."""
    os.set_blocking(descriptor, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(descriptor, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(descriptor, True)


@pytest.mark.parametrize(("how", "workers", "status"), [("", 1, 0), ("", 2, 0), ("native", 1, 1)])
async def test_a_gateway_with_a_full_standard_error_serves_and_ends_in_time(
    stack: BackgroundStack, how: str, workers: int, status: int
) -> None:
    ports = PortPlan.free()
    settings = {
        "bootstrap.servers": stack.bootstrap_servers,
        "listeners": f"http://{HOST}:{ports.rest}",
        "grpc.listeners": f"grpc://{HOST}:{ports.grpc}",
        "shutdown.timeout.ms": str(TIMEOUT_MS),
        "workers": str(workers),
    }
    unread, stderr = os.pipe()
    command = [sys.executable, str(STUCK)] if how else [sys.executable, "-m", "kafka_facade"]
    process = subprocess.Popen(  # noqa: ASYNC220  it only starts
        [*command, "serve", *(part for key, value in settings.items() for part in ("-p", f"{key}={value}"))],
        stderr=stderr,
        stdout=subprocess.PIPE,
        env={**os.environ, "STUCK": how},
    )
    try:
        url = f"http://{HOST}:{ports.rest}/v3/clusters"
        async with httpx.AsyncClient(timeout=30) as client:
            await _until_served(client, url)
            _fill(stderr)
            if how:
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == b"stuck\n"
                await asyncio.sleep(0.3)
            else:
                # Each connection logs a line.
                for _ in range(10):
                    websocket = f"ws://{HOST}:{ports.rest}/graphql"
                    async with connect(websocket, subprotocols=["graphql-transport-ws"], open_timeout=30):  # type: ignore[list-item]
                        pass
                assert (await client.get(url)).status_code == 200
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, TIMEOUT_MS / 1000 + SLACK) == status
        assert time.monotonic() - told < TIMEOUT_MS / 1000 + SLACK
    finally:
        process.kill()
        process.communicate()
        os.close(unread)
        os.close(stderr)


async def _until_served(client: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["exit_now", "return"])
def test_lines_within_the_limit_are_written_in_order_and_others_counted(how: str) -> None:
    count = 20_000
    process = subprocess.Popen(
        [sys.executable, "-c", LOGGING, str(count), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # Writes everything while the other side does not read.
        assert process.stdout.readline() == b"logged\n"
        lines = []
        while b"dropped" not in (line := process.stderr.readline()):
            lines.append(line)
        _, rest = process.communicate(b"\n", timeout=60)
    finally:
        process.kill()
    numbers = [int(entry.split(b" line ")[1].split()[0]) for entry in lines]
    assert numbers == list(range(len(numbers)))
    assert 1000 < len(numbers) < count
    assert f"WARNING kafka_facade.runtime.log_writer: {count - len(numbers)} log lines were dropped" in str(line)
    assert rest.endswith(b"at the end\n")
    assert rest.count(b"\n") == 1
