"""Calls of an identity whose broker hangs leave threads for the calls of others."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.pool import ClientPool
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack
from kafka_identities import User

# More hanging calls than an identity has threads, of more identities than share them all.
_HANGING = 6
_CALLS = 20
_HANG_SECONDS = 9
_SOON = 4
_SECONDS = 20


@asynccontextmanager
async def _silent_broker() -> AsyncIterator[str]:
    """The address of a server that accepts connections and never responds."""
    ended = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            ended.set()


async def _outcome(call: Awaitable[object]) -> type[object]:
    try:
        return type(await call)
    except FacadeError as error:
        return type(error)


async def test_another_identity_is_answered(
    stack: BackgroundStack, users: tuple[User, User], topic: TopicFactory
) -> None:
    name = await topic()
    ann, bob = users[0].identity, users[1].identity
    hanging = [KafkaIdentity(ann.cluster, f"hanging-{number}", ann.producer) for number in range(_HANGING)]
    async with _silent_broker() as silent:

        def options_of(identity: KafkaIdentity) -> KafkaOptions:
            servers = stack.super_user["bootstrap.servers"] if identity == bob else silent
            return KafkaOptions(servers, identity.producer, identity.consumer, identity.admin)

        pool = ClientPool(options_of, Shared(PoolOptions(max_identities=_HANGING + 1)), _HANGING + 1, 60)
        try:
            ports: list[KafkaPorts] = [(await pool.lease(identity, _SECONDS)).ports for identity in hanging]
            waiting = [
                asyncio.create_task(_outcome(one.producer.partition_count(name, _HANG_SECONDS)))
                for one in ports
                for _ in range(_CALLS)
            ]
            await asyncio.sleep(2)
            own = (await pool.lease(bob, _SECONDS)).ports
            started = time.monotonic()
            assert await asyncio.gather(*(own.producer.partition_count(name, _SECONDS) for _ in range(3))) == [1] * 3
            [found] = await own.admin.describe_topics([name], _SECONDS)
            assert not isinstance(found, FacadeError)
            assert time.monotonic() - started < _SOON
            assert not any(task.done() for task in waiting)
            assert KafkaTimeout in await asyncio.gather(*waiting)
        finally:
            await pool.close(5)


@pytest.mark.parametrize("parts", [1, 3, 30])
async def test_each_part_has_a_thread_and_shares_the_others(parts: int) -> None:
    threads, most, calls = 12, 5, 8
    pool, release = Blocking("test-parts", threads, parts), threading.Event()
    running, lock = [0] * parts, threading.Lock()

    def hang(part: int) -> None:
        with lock:
            running[part] += 1
        release.wait(_SECONDS)

    some = [pool.part(most) for _ in range(parts)]
    futures = [part.begin(hang, number) for number, part in enumerate(some) for _ in range(calls)]
    try:
        async with asyncio.timeout(_SECONDS):
            while not all(running):  # noqa: ASYNC110  threads begin without a word
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert max(running) <= most
        assert sum(running) <= threads + parts
        # A part that comes later has not been left with one thread, unless many were there before.
        assert running[-1] > 1 or parts > threads
    finally:
        release.set()
    await asyncio.gather(*map(asyncio.wrap_future, futures))
    assert running == [calls] * parts
    # All threads are free again.
    await asyncio.gather(*(asyncio.wrap_future(part.begin(hang, 0)) for part in some))
    async with asyncio.timeout(_SECONDS):
        # A thread is free a moment after its call is done.
        while some[0]._common.free != threads:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    pool.close()
