"""SIGTERM ends the gateway within shutdown.timeout.ms, whatever state it is in."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.devstack.ports import HOST, PortPlan

TIMEOUT_MS = 2000
# What a busy machine may add (s).
SLACK = 6.0


@asynccontextmanager
async def _stuck(stack: BackgroundStack, how: str, workers: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway whose workers are stuck by now."""
    ports = PortPlan.free()
    settings = {
        "bootstrap.servers": stack.bootstrap_servers,
        "listeners": f"http://{HOST}:{ports.rest}",
        "grpc.listeners": f"grpc://{HOST}:{ports.grpc}",
        "shutdown.timeout.ms": str(TIMEOUT_MS),
        "workers": str(workers),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("stuck_gateway.py")),
        "serve",
        *(part for key, value in settings.items() for part in ("-p", f"{key}={value}")),
        env={**os.environ, "STUCK": how},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    tree = [psutil.Process(process.pid)]
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            for _ in range(workers):
                assert await process.stdout.readline() == b"stuck\n"
        await asyncio.sleep(0.3)
        tree += tree[0].children(recursive=True)
        yield process
    finally:
        for member in tree:
            if member.is_running():
                member.kill()
        await process.communicate()
    _, left = psutil.wait_procs(tree, 5)
    assert left == []


@pytest.mark.parametrize(
    ("how", "workers", "status"),
    [
        ("python", 1, 1),
        ("native", 1, 1),
        ("start", 1, 1),
        ("threads", 1, 0),
        ("locked", 2, 1),
    ],
)
async def test_a_gateway_that_is_stuck_ends_in_time(
    stack: BackgroundStack, how: str, workers: int, status: int
) -> None:
    async with _stuck(stack, how, workers) as process:
        told = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), TIMEOUT_MS / 1000 + SLACK)
        took = time.monotonic() - told
        assert process.returncode == status
        assert took < TIMEOUT_MS / 1000 + SLACK
        if status and workers == 1:
            assert b"the process didn't end within shutdown.timeout.ms and is stopped" in said
