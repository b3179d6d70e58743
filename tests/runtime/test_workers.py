"""Several workers on one port, which is open only while one of them can respond."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kafka_facade.core.temporary import PROTOC, locked_directory
from kafka_facade.runtime.shared_directory import remove_leftovers, shared_directory
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.ports import HOST, PortPlan

GatewayFactory = Callable[..., Awaitable[Gateway]]

TIMEOUT_MS = 10_000
KILLED = """
import os, signal
import subprocess, time
from kafka_facade.schemas.protoc import compile_files
from kafka_facade.runtime.shared_directory import shared_directory

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

# Killed in the middle of a compile.
subprocess.Popen = kill
with shared_directory() as path:
    (path / "0.sock").touch()
    compile_files('syntax = "proto3";', [])
"""
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def _ask(port: int) -> str:
    """What becomes of one caller: its status, or how it was turned away."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return "refused"
    try:
        writer.write(REQUEST)
        answer = await reader.read()
    except OSError:
        return "reset"
    finally:
        writer.close()
    return answer.split(b" ", 2)[1].decode() if answer else "closed"


def _port(gateway: Gateway) -> int:
    return int(gateway.rest.rpartition(":")[2])


def _leave(temporary: Path) -> list[Path]:
    """Kill a process that has temporary directories, and return them."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    assert subprocess.run([sys.executable, "-c", KILLED], env=environment).returncode == -signal.SIGKILL
    left = [*temporary.iterdir()]
    assert left
    return left


async def test_the_port_is_closed_until_a_worker_can_answer(stack: BackgroundStack, short_path: Path) -> None:
    ports = PortPlan.free()
    environment = {**os.environ, "TMPDIR": str(short_path)}
    left = _leave(short_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kafka_facade", "serve", "-p", "workers=2", "-p", "grpc.listeners="),
        *("-p", f"listeners=http://{HOST}:{ports.rest}", "-p", f"bootstrap.servers={stack.bootstrap_servers}"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    said = b""

    async def listen() -> None:
        nonlocal said
        assert process.stderr is not None
        async for line in process.stderr:
            said += line

    listening = asyncio.create_task(listen())
    outcome = "refused"
    try:
        async with asyncio.timeout(60):
            while outcome == "refused":
                outcome = await _ask(ports.rest)
                await asyncio.sleep(0.02)
        assert outcome == "200"
        await asyncio.sleep(0.2)
        assert b"Application startup complete" in said
        # What was left of one that was killed is gone.
        assert not any(path.exists() for path in left)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 45)
        await listening
    assert process.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_callers_are_answered_or_refused_at_once(gateway_factory: GatewayFactory, workers: str) -> None:
    gateway = await gateway_factory({"workers": workers, "shutdown.timeout.ms": str(TIMEOUT_MS)})
    port = _port(gateway)
    outcomes: Counter[str] = Counter()
    longest = 0.0
    stopping = asyncio.Event()
    told_at = 0.0
    late: list[str] = []

    async def call() -> None:
        nonlocal longest
        outcome = ""
        while outcome != "refused":
            started = time.monotonic()
            outcome = await _ask(port)
            if stopping.is_set():
                longest = max(longest, time.monotonic() - started)
                if outcome in ("reset", "closed") and time.monotonic() - told_at > 0.25:
                    late.append(outcome)
            outcomes[outcome] += 1

    callers = [asyncio.create_task(call()) for _ in range(20)]
    await asyncio.sleep(1)
    told_at = time.monotonic()
    os.kill(gateway.child.pid, signal.SIGTERM)
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*callers), 20)
    # No connection waits in the queue of a port that no worker accepts from.
    assert late == []
    assert outcomes["200"] > 20
    assert longest < TIMEOUT_MS / 2000
    # What was queued in the moment in which the port was closed.
    assert outcomes["reset"] + outcomes["closed"] <= 5, outcomes


async def test_a_worker_that_hangs_keeps_no_port_open(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"workers": "2", "shutdown.timeout.ms": str(TIMEOUT_MS)})
    port = _port(gateway)
    workers = _workers(gateway.child.pid)
    assert len(workers) == 2
    workers[0].suspend()
    try:
        started = time.monotonic()
        os.kill(gateway.child.pid, signal.SIGTERM)
        outcome = ""
        while outcome != "refused":
            try:
                outcome = await asyncio.wait_for(_ask(port), 1)
            except TimeoutError:
                outcome = "no answer"
            assert time.monotonic() - started < TIMEOUT_MS / 2000
        async with asyncio.timeout(TIMEOUT_MS / 1000 + 10):
            while gateway.child.running:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not _runs(workers[0])
    finally:
        if workers[0].is_running():
            workers[0].kill()


@pytest.mark.parametrize("told", [signal.SIGKILL, signal.SIGTERM])
async def test_workers_that_are_still_starting_end_with_their_supervisor(
    stack: BackgroundStack, told: signal.Signals
) -> None:
    ports = PortPlan.free()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kafka_facade", "serve", "-p", "workers=2", "-p", "grpc.listeners="),
        *("-p", f"listeners=http://{HOST}:{ports.rest}", "-p", f"bootstrap.servers={stack.bootstrap_servers}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    workers: list[psutil.Process] = []
    try:
        async with asyncio.timeout(90):
            while len(workers) < 2:
                await asyncio.sleep(0.02)
                workers = _workers(process.pid)
            # By now the workers know what to run, and most of their start is still to come; in the second case their
            # supervisor has asked for signs of life.
            await asyncio.sleep(0.1 if told is signal.SIGKILL else 0.8)
            process.send_signal(told)
            began = time.monotonic()
            await process.wait()
            assert process.returncode == (-told if told is signal.SIGKILL else 0)
            assert time.monotonic() - began < TIMEOUT_MS / 2000
            while any(_runs(worker) for worker in workers):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for worker in workers:
            if _runs(worker):
                worker.kill()


def _workers(supervisor: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(supervisor).children() if "spawn_main" in " ".join(child.cmdline())]


def _runs(worker: psutil.Process) -> bool:
    try:
        return worker.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A new folder with a path that leaves room for those of sockets."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield Path(name)


def test_temporary_files_of_a_killed_gateway_are_removed(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))
    others = {"kafka-facade-workers-other", "kafka-facade-protoc-other", "kafka-facade-x", ".kafka-facade-workers-new"}
    for name in others:
        (short_path / name).mkdir()
    never_locked = short_path / ".kafka-facade-protoc-old"
    never_locked.mkdir()
    os.utime(never_locked, (0, 0))
    with shared_directory() as alive, locked_directory(PROTOC, short_path) as compiling:
        _leave(short_path)
        [left] = {path.parent for path in short_path.glob("*/0.sock")}
        [schema] = {path.parent.parent for path in short_path.glob("kafka-facade-protoc-*/schemas/*.proto")}
        remove_leftovers()
        assert alive.exists()
        assert compiling.exists()
        assert not left.exists()
        assert not schema.exists()
        with shared_directory() as path:
            assert path.exists()
        assert not path.exists()
    assert {entry.name for entry in short_path.iterdir()} == others
