"""Equal reads at the same time share one answer, which is never older than the read."""

from __future__ import annotations

import asyncio

import pytest

from kafka_facade.core.errors import KafkaTimeout, TopicNotFound
from kafka_facade.kafka.joined import JoinedReads


class Source:
    """Answers with the number of reads that have begun, once it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_answer = asyncio.Event()

    async def read(self, timeout: float) -> int:
        self.begun += 1
        number = self.begun
        await self.may_answer.wait()
        return number

    async def fail(self, timeout: float) -> int:
        self.begun += 1
        raise TopicNotFound(topic_name="x")


async def test_reads_that_come_while_one_runs_share_the_next_one() -> None:
    reads, source = JoinedReads(), Source()
    first = asyncio.create_task(reads.ask("key", 10, source.read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(reads.ask("key", 10, source.read)) for _ in range(50)]
    different = asyncio.create_task(reads.ask("other", 10, source.read))
    await asyncio.sleep(0.01)
    assert source.begun == 2
    source.may_answer.set()
    assert await first == 1
    assert await different == 2
    assert set(await asyncio.gather(*others)) == {3}


async def test_a_read_that_hangs_delays_others_only_briefly() -> None:
    reads, hanging, quick = JoinedReads(), Source(), Source()
    quick.may_answer.set()
    first = asyncio.create_task(reads.ask("key", 10, hanging.read))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert await reads.ask("key", 10, quick.read) == 1
    first.cancel()


async def test_each_caller_has_its_own_timeout() -> None:
    reads, source = JoinedReads(), Source()
    patient = asyncio.create_task(reads.ask("key", 10, source.read))
    with pytest.raises(KafkaTimeout):
        await reads.ask("key", 0.01, source.read)
    source.may_answer.set()
    assert await patient == 1


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    reads, source = JoinedReads(), Source()
    callers = [asyncio.create_task(reads.ask("key", 10, source.read)) for _ in range(2)]
    await asyncio.sleep(0.01)
    callers[0].cancel()
    await asyncio.sleep(0)
    source.may_answer.set()
    assert await callers[1] == 1
    # Nor does the only one keep the next one from beginning.
    lone = asyncio.create_task(reads.ask("key", 10, source.read))
    await asyncio.sleep(0)
    lone.cancel()
    async with asyncio.timeout(5):
        assert await reads.ask("key", 10, source.read) >= 2


async def test_all_get_the_error() -> None:
    reads, source = JoinedReads(), Source()
    outcomes = await asyncio.gather(*(reads.ask("key", 10, source.fail) for _ in range(3)), return_exceptions=True)
    assert source.begun == 1
    assert [(type(error), str(error)) for error in outcomes] == [(TopicNotFound, str(outcomes[0]))] * 3
    assert len({id(error) for error in outcomes}) == 3
