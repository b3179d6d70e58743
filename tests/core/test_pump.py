"""The pump of a produce stream."""

import asyncio
import gc
import inspect
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import TooManyRequests, TopicNotFound
from kafka_facade.core.pipeline import AccessLists, Pipeline
from kafka_facade.core.records.model import RecordToProduce, StreamRecords
from kafka_facade.core.records.pump import RecordPump


class _Records(list[Any]):
    """Records to which a weak reference is possible."""


class _Core:
    """What the pump needs: a pipeline, and an operation that fails."""

    def __init__(self) -> None:
        self.pipeline = Pipeline(AccessLists(), 10.0)

    async def perform(self, call: Call, request: Any) -> Any:
        raise TopicNotFound


class _Stream:
    """A stream with one answered batch, whose reader waits for more."""

    def __init__(self, core: _Core | None = None) -> None:
        core = core or _Core()
        call = core.pipeline.renewed(Call(CATALOGUE["api.v3.produce.produce-to-topic"], Caller("rest"), 0.0))
        self.pump: RecordPump[None] = RecordPump(core, call, "caller", 1_000_000)
        self.records: list[weakref.ref[_Records]] = []

    async def read(self) -> None:
        await self._send()
        await self.pump.receive(asyncio.Event().wait(), begun=None)

    async def _send(self) -> None:
        records = _Records()
        self.records.append(weakref.ref(records))
        await self.pump.room(1, 1)
        await self.pump.send(None, self.pump.begin(), StreamRecords(None, "topic", records))

    async def answer(self) -> None:
        assert await self.pump.unanswered()
        assert await self.pump.oldest.outcomes() == []
        self.pump.release()


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
async def test_an_answered_batch_is_freed_while_the_stream_pauses() -> None:
    stream = _Stream()
    async with stream.pump.reading(stream.read()):
        await stream.answer()
        [records] = stream.records
        assert records() is None


@pytest.mark.usefixtures("no_collections")
async def test_a_stream_that_ends_is_freed() -> None:
    async def run() -> weakref.ref[_Stream]:
        stream = _Stream()
        async with stream.pump.reading(stream.read()):
            await stream.answer()
            await asyncio.sleep(0)
        return weakref.ref(stream)

    running = asyncio.create_task(run())
    ended = await running
    assert ended() is None


async def test_a_stream_that_waits_for_room_is_cut_off_if_memory_is_short() -> None:
    core = _Core()
    stream = _Stream(core)

    async def read() -> None:
        await stream.pump.room(1, 1)
        await stream.pump.send(None, stream.pump.begin(), StreamRecords(None, "topic", [RecordToProduce()]))
        await stream.pump.room(2_000_000, 1)

    reading = read()
    async with stream.pump.reading(reading):
        await stream.pump.unanswered()
        await asyncio.sleep(0.05)
        assert core.pipeline.overload.arrivals.cut_off(0) == 1
        await asyncio.sleep(0.05)
        assert stream.pump.cut_off
        assert inspect.getcoroutinestate(reading) == inspect.CORO_CLOSED
        # What was sent is still answered.
        assert len(await stream.pump.oldest.outcomes()) == 1


async def test_a_stream_with_unread_answers_is_cut_off_if_memory_is_short() -> None:
    core = _Core()
    stream = _Stream(core)

    async def read() -> None:
        await stream.pump.room(1, 100)
        await stream.pump.send(None, stream.pump.begin(), StreamRecords(None, "topic", [RecordToProduce()] * 100))
        await stream.pump.receive(asyncio.Event().wait(), begun=False)

    async def write() -> None:
        async with stream.pump.reading(read()), asyncio.timeout(5):
            await stream.pump.unanswered()
            asyncio.get_running_loop().call_later(0.05, core.pipeline.overload.streams.cut_off_unread, 0)
            # The caller takes no answers.
            await asyncio.Event().wait()

    with pytest.raises(TooManyRequests):
        await write()
    assert stream.pump.held == 0


async def test_an_answer_is_unread_only_since_it_could_be_read() -> None:
    """It was behind one whose outcome was not known."""
    stream = _Stream()

    async def read() -> None:
        for _ in range(2):
            await stream.pump.room(1, 1)
            await stream.pump.send(None, stream.pump.begin(), StreamRecords(None, "topic", [RecordToProduce()]))
        await stream.pump.receive(asyncio.Event().wait(), begun=False)

    async with stream.pump.reading(read()), asyncio.timeout(5):
        while stream.pump.decided_behind(1) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        before = time.monotonic()
        stream.pump.release()
        since = stream.pump.unread_since()
        assert since is not None
        assert since >= before
