"""SIGTERM ends the gateway within shutdown.timeout.ms, in every state."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.ports import HOST, PortPlan

GatewayFactory = Callable[..., Awaitable[Gateway]]

TIMEOUT_MS = 2000
# What a busy machine may add (s); measured on one: 0.5.
SLACK = 3.0
# Runs a command as process 1, which default actions of signals do not end.
NEW_PIDS = ("unshare", "--pid", "--fork", "--kill-child")


@asynccontextmanager
async def _stuck(
    stack: BackgroundStack, how: str, workers: int, prefix: Sequence[str] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
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
        *prefix,
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
        ("locked", 1, signal.SIGPROF),
    ],
)
async def test_a_blocked_gateway_ends_before_the_shutdown_timeout(
    stack: BackgroundStack, how: str, workers: int, status: int
) -> None:
    async with _stuck(stack, how, workers) as process:
        told = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), TIMEOUT_MS / 1000 + SLACK)
        took = time.monotonic() - told
        assert process.returncode == status
        assert took < TIMEOUT_MS / 1000 + SLACK
        if how == "locked" and workers == 1:
            assert b"in _with_the_interpreter_locked" in said
        elif status and workers == 1:
            assert b"the process did not end within shutdown.timeout.ms; stopping it" in said


def _processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _may_run(prefix: Sequence[str]) -> bool:
    try:
        return subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("prefix", [(), NEW_PIDS], ids=["", "as in a container"])
async def test_a_gateway_with_spinning_native_code_ends_with_stack_traces(
    stack: BackgroundStack, prefix: Sequence[str]
) -> None:
    if not _may_run(prefix):
        pytest.skip("processes may have no PIDs of their own here")
    async with _stuck(stack, "spinning", 1, prefix) as process:
        gateway = psutil.Process(process.pid)
        if prefix:
            gateway = gateway.children()[0]
        told = used = _processor_time(gateway)
        gateway.terminate()
        ended = asyncio.create_task(process.communicate())
        # Its time is that of the processor: on a busy machine it takes longer.
        async with asyncio.timeout(120):
            while not ended.done():
                await asyncio.sleep(0.05)
                with suppress(psutil.Error):
                    used = max(used, _processor_time(gateway))
        _, said = await ended
        assert used - told < TIMEOUT_MS / 1000 + 0.5
        assert process.returncode == signal.SIGPROF
        assert b"in _spinning_with_the_interpreter_locked" in said
        assert said.count(b"(most recent call first)") > 1


async def test_a_gateway_continues_after_sigstop_and_sigcont(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"shutdown.timeout.ms": "1000"})
    os.kill(gateway.child.pid, signal.SIGSTOP)
    await asyncio.sleep(3)
    os.kill(gateway.child.pid, signal.SIGCONT)
    async with httpx.AsyncClient(base_url=gateway.rest) as client:
        for _ in range(4):
            assert (await client.get("/v3/clusters")).status_code == 200
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_process_that_ends_a_blocked_gateway_is_replaced(
    gateway_factory: GatewayFactory, number: signal.Signals
) -> None:
    gateway = await gateway_factory()
    process = psutil.Process(gateway.child.pid)

    def sentinels() -> list[psutil.Process]:
        return [child for child in process.children() if "sentinel.py" in " ".join(child.cmdline())]

    [first] = sentinels()
    first.send_signal(number)
    async with asyncio.timeout(30):
        while first.is_running() or not sentinels():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.1)
    assert "starting another" in gateway.child.log.read_text()
    assert psutil.STATUS_ZOMBIE not in [child.status() for child in process.children()]


async def test_a_stopped_gateway_shuts_down_once_it_continues(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"shutdown.timeout.ms": "1000"})
    os.kill(gateway.child.pid, signal.SIGSTOP)
    os.kill(gateway.child.pid, signal.SIGTERM)
    await asyncio.sleep(4)
    os.kill(gateway.child.pid, signal.SIGCONT)
    async with asyncio.timeout(20):
        while gateway.child.running:  # noqa: ASYNC110  nothing tells of its end
            await asyncio.sleep(0.05)
    assert "Finished server process" in gateway.child.log.read_text()
