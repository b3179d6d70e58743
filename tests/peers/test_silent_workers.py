"""Calls to a worker that hangs end early; long calls to a responsive worker do not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kafka_facade.core.call import Call
from kafka_facade.core.errors import Unavailable
from kafka_facade.core.instances.model import DeleteConsumer, FetchRecords
from kafka_facade.core.instances.placement import slot_of
from kafka_facade.peers.ownership import SLOTS
from kafka_facade.peers.transport import UnixTransport
from peers.bare_workers import Worker, read

_PROGRAM = str(Path(__file__).with_name("other_worker.py"))
_SILENCE_SECONDS = 1.0
_SECONDS = 30

StartOther = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """A worker that forwards all calls to the other one."""
    worker = Worker(UnixTransport(tmp_path / "a"), _SILENCE_SECONDS)
    worker.table.addresses[slot_of("g", "i", SLOTS)] = str(tmp_path / "b")
    await worker.peers.start(worker.core)
    yield worker
    await asyncio.wait_for(worker.peers.close(), _SECONDS)


@pytest.fixture
async def start_other(tmp_path: Path) -> AsyncIterator[StartOther]:
    """`await start_other(address)`: the other worker, once it is ready."""
    started = []

    async def start(address: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, _PROGRAM, str(tmp_path / "b"), address),
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        await _says(process, b"ready\n")
        return process

    yield start
    for process in started:
        process.kill()
        await process.wait()


async def _says(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), _SECONDS) == line


async def _nothing(_: Any) -> None:
    raise AssertionError("nothing was read")


@pytest.mark.parametrize("hang", [signal.SIGSTOP, signal.SIGUSR1])
async def test_callers_of_a_worker_that_hangs(worker: Worker, start_other: StartOther, hang: signal.Signals) -> None:
    other = await start_other()
    reading = asyncio.create_task(worker.peers.forward(read(_nothing), FetchRecords("g", "i")))
    await _says(other, b"reading\n")
    # A read may take long.
    await asyncio.sleep(3 * _SILENCE_SECONDS)
    assert not reading.done()
    os.kill(other.pid, hang)
    later = asyncio.create_task(worker.peers.forward(read(None), DeleteConsumer("g", "i")))
    for call in (reading, later):
        with pytest.raises(Unavailable) as raised:
            await asyncio.wait_for(call, _SECONDS)
        assert raised.value.codes.retriable


async def test_a_worker_that_hangs_while_its_caller_takes_the_answer(worker: Worker, start_other: StartOther) -> None:
    given_back = asyncio.Event()
    worker.table.owned = set(range(SLOTS))

    async def answers(call: Call, _: Any) -> None:
        assert call.hand_over is not None
        try:
            await call.hand_over([])
        except asyncio.CancelledError:
            given_back.set()
            raise

    vars(worker.core)["perform_forwarded"] = answers
    other = await start_other(worker.transport.address)
    await asyncio.sleep(3 * _SILENCE_SECONDS)
    assert not given_back.is_set()
    os.kill(other.pid, signal.SIGSTOP)
    await asyncio.wait_for(given_back.wait(), _SECONDS)
