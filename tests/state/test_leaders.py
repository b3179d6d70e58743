"""Leaders of the state that are killed, paused or fenced: no change is lost or made twice, and another one follows."""

from __future__ import annotations

import asyncio
import signal
import time

import psutil
import pytest

from engines import LoneEngine
from kafka_facade.core.state.port import WriterLost
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack
from machine_speed import slowness
from state.conftest import Raw, StateFactory, WorkerFactory
from state.counting import Number, add, value

# The session timeout, the joining of the next leader, and its look at the topic's end.
_TAKEOVER_SECONDS = 25


async def test_a_leader_that_is_killed(new_state: StateFactory, new_worker: WorkerFactory) -> None:
    leader = await new_worker("leader")
    assert await leader.ask("n") == 1
    state = await new_state()
    assert await value(state, "n") == 1
    await leader.kill()
    began = time.monotonic()
    assert await value(state, "n") == 1
    assert time.monotonic() - began < 5 * slowness()
    assert await add(state, "n") == 2
    assert time.monotonic() - began < _TAKEOVER_SECONDS
    found = (await state.view(10)).get(Number, "n")
    assert found is not None
    assert not found.by


async def test_a_leader_that_was_paused_writes_nothing_more(new_state: StateFactory, new_worker: WorkerFactory) -> None:
    """It is asked for a change while it still believes that it leads."""
    paused = await new_worker("paused")
    assert await paused.ask("n") == 1
    state = await new_state()
    paused.send(signal.SIGSTOP)
    assert await add(state, "n") == 2
    asked = asyncio.create_task(paused.ask("n"))
    await asyncio.sleep(0.1)
    paused.send(signal.SIGCONT)
    assert await asked == 3
    # What it would have written itself is 2. It may lead again, once it has joined the group.
    found = (await state.view(10)).get(Number, "n")
    assert found is not None
    assert found.value == 3
    assert await paused.ask("n") == 4
    assert await add(state, "n") == 5


async def test_a_paused_leader_that_is_asked_in_the_topic(new_state: StateFactory, new_worker: WorkerFactory) -> None:
    """What it was asked for before it was paused, and what others ask meanwhile, is done once."""
    paused = await new_worker("paused")
    assert await paused.ask("n") == 1
    states = [await new_state() for _ in range(2)]
    assert [await value(state, "n") for state in states] == [1, 1]
    paused.send(signal.SIGSTOP)
    sums = asyncio.gather(*(add(state, "n", timeout=40) for state in states))
    await asyncio.sleep(1)
    paused.send(signal.SIGCONT)
    assert sorted(await sums) == [2, 3]
    assert await paused.ask("n") == 4


async def test_changes_while_leaders_are_killed(new_state: StateFactory, new_worker: WorkerFactory) -> None:
    """Each is made once, with any leader."""
    workers = [await new_worker(f"w{number}") for number in range(2)]
    state = await new_state()
    done = 0
    for worker in workers:
        assert await worker.ask("n") == done + 1
        adding = [asyncio.create_task(add(state, "n", timeout=60)) for _ in range(5)]
        await asyncio.sleep(0.02)
        await worker.kill()
        sums = sorted([await task for task in adding])
        assert sums == list(range(done + 2, done + 7))
        done += 6
    assert await value(state, "n") == done


async def test_an_older_writer_is_fenced(stack: BackgroundStack, topic: str, raw: Raw) -> None:
    """Also if it was never told."""
    await raw.create()
    engines: list[Engine] = [await LoneEngine.start(KafkaOptions(stack.bootstrap_servers)) for _ in range(2)]
    older, newer = [await engine.transactions.open_writer(topic, topic, 30) for engine in engines]
    with pytest.raises(WriterLost):
        await older.write({"number/n": b"{}"}, 30)
    assert await newer.write({"number/n": b"{}", "number/m": None}, 30) >= 1
    for writer in (older, newer):
        await writer.close()
    for engine in engines:
        await engine.close(5)


@pytest.mark.parametrize("name", ["linger.ms", "queue.buffering.max.ms"])
async def test_a_writer_does_not_linger(stack: BackgroundStack, topic: str, raw: Raw, name: str) -> None:
    """Even if the producer lingers for longer than a transaction may take."""
    await raw.create()
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, {name: "9000"}))
    writer = await engine.transactions.open_writer(topic, topic, 30)
    began = time.monotonic()
    assert await writer.write({"number/n": b"{}"}, 30) >= 0
    assert time.monotonic() - began < 5 * slowness()
    await writer.close()
    await engine.close(5)


@pytest.mark.serial
async def test_the_cost_of_an_idle_worker(new_state: StateFactory) -> None:
    """Below 1 % of a processor for a leader and another worker together, beyond what their clients cost anyway."""
    states = [await new_state() for _ in range(2)]
    process = psutil.Process()

    async def cost() -> float:
        found = []
        for _ in range(3):
            before, began = process.cpu_times(), time.monotonic()
            await asyncio.sleep(5)
            after = process.cpu_times()
            used = after.user + after.system - before.user - before.system
            found.append(used / (time.monotonic() - began))
        return min(found)

    await asyncio.sleep(3)
    without = await cost()
    await add(states[0], "n")
    assert await value(states[1], "n") == 1
    await asyncio.sleep(3)
    assert await cost() - without < 2 * 0.01 * slowness()
