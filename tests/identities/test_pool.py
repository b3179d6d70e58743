"""The pool of Kafka clients respects its limits, shares clients, and releases everything at the end."""

import asyncio
import ctypes
import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout, TooManyRequests, Unavailable
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.records.model import Delivery
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.pool import ClientPool, Lease
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack
from kafka_identities import CLUSTER, new_pool
from loop_watch import watched

_SECONDS = 60
_IDENTITIES = 500
_MOST = 12
# An identity has an admin client and a producer here; each librdkafka client has one main thread and takes one key.
_CLIENTS_EACH = 2
_THREADS_EACH = 20
_MEMORY = 200 * 1024 * 1024


def identity(number: int) -> KafkaIdentity:
    return KafkaIdentity(CLUSTER, f"user-{number}", *[{"client.id": f"user-{number}"}] * 3)


def client_threads() -> set[str]:
    """The main thread of each librdkafka client."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if (task / "comm").read_text().startswith("rdk:main"):
                found.add(task.name)
    return found


def librdkafka_clients() -> int:
    return len(client_threads())


def free_thread_keys() -> int:
    library = ctypes.CDLL(None)
    taken: list[ctypes.c_uint] = []
    while not library.pthread_key_create(ctypes.byref(key := ctypes.c_uint()), None):
        taken.append(key)
    for key in taken:
        library.pthread_key_delete(key)
    return len(taken)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not condition():  # noqa: ASYNC110  threads end without a word
            await asyncio.sleep(0.05)


async def use(pool: ClientPool, number: int, topic: str) -> None:
    """Use an identity: describe the cluster and produce."""
    lease = await pool.lease(identity(number), _SECONDS)
    try:
        await lease.ports.admin.describe_cluster(_SECONDS)
        await lease.ports.producer.partition_count(topic, _SECONDS)
        record = SerializedRecord(None, str(number).encode(), None, [], None)
        [outcome] = await (await lease.ports.producer.submit(topic, [record]))
        assert isinstance(outcome, Delivery), outcome
    finally:
        lease.release()


@pytest.mark.serial
async def test_five_hundred_identities(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    before, keys, process = librdkafka_clients(), free_thread_keys(), psutil.Process()
    threads = process.num_threads()
    most_clients = most_threads = 0
    done = False

    async def look() -> None:
        nonlocal most_clients, most_threads
        earlier: set[str] = set()
        while not done:
            now = client_threads()
            # A thread that has ended stays listed for a moment; those listed twice are alive at the same time.
            most_clients = max(most_clients, len(now & earlier) - before)
            most_threads = max(most_threads, process.num_threads() - threads)
            earlier = now
            await asyncio.sleep(0.02)

    async with new_pool(stack.bootstrap_servers, _MOST, idle_seconds=2) as pool:
        looking = asyncio.create_task(look())
        at_once = asyncio.Semaphore(_MOST)

        async def one(number: int) -> None:
            async with at_once:
                await use(pool, number, name)

        await asyncio.gather(*map(one, range(_MOST * 2)))
        settled_memory = process.memory_info().rss
        await asyncio.gather(*map(one, range(_IDENTITIES)))
        fewest_keys = free_thread_keys()
        done = True
        await looking
        assert 0 < most_clients <= _MOST * _CLIENTS_EACH
        assert most_threads <= _MOST * _THREADS_EACH + 48 * 2 + 16 + 8 + 8
        assert keys - fewest_keys <= _MOST * _CLIENTS_EACH
        assert process.memory_info().rss - settled_memory < _MEMORY
        # They are not used any more.
        await until(lambda: librdkafka_clients() == before)
    await until(lambda: free_thread_keys() >= keys)


async def test_calls_at_the_same_time_open_clients_once(stack: BackgroundStack) -> None:
    before = client_threads()
    async with new_pool(stack.bootstrap_servers) as pool, watched() as watch:
        leases = await asyncio.gather(*(pool.lease(identity(0), _SECONDS) for _ in range(50)))
        assert len({id(lease.engine) for lease in leases}) == 1
        # Those of earlier tests may be ending.
        assert len(client_threads() - before) == 1
        other = await pool.lease(identity(1), _SECONDS)
        assert other.engine is not leases[0].engine
        for lease in [*leases, other]:
            lease.release()
        assert [clients.users for clients in pool._open.values()] == [0, 0]
        with pytest.raises(RuntimeError, match="released twice"):
            other.release()
        assert watch.longest_busy < 0.2


async def test_clients_in_use_are_kept_and_others_make_room(stack: BackgroundStack) -> None:
    async with new_pool(stack.bootstrap_servers, most=2, idle_seconds=0.2) as pool:
        first, second = await pool.lease(identity(0), _SECONDS), await pool.lease(identity(1), _SECONDS)
        for _ in range(2):
            with pytest.raises(TooManyRequests, match=r"kafka\.clients\.max") as raised:
                await pool.lease(identity(2), _SECONDS)
            assert raised.value.codes.retriable
        second.release()
        third = await pool.lease(identity(2), _SECONDS)
        # The idle time of the first has passed, but it is still in use.
        await asyncio.sleep(0.5)
        assert pool.take(identity(1)) is None
        assert (await pool.lease(identity(0), _SECONDS)).engine is first.engine
        await first.ports.admin.describe_cluster(_SECONDS)
        await third.ports.admin.describe_cluster(_SECONDS)
        third.release()
        await until(lambda: identity(2).digest not in pool._open)


async def test_a_failure_is_returned_and_not_cached(stack: BackgroundStack) -> None:
    broken = True

    def options_of(wanted: KafkaIdentity) -> KafkaOptions:
        admin = {"socket.timeout.ms": "no number"} if broken else {}
        return KafkaOptions(stack.bootstrap_servers, admin=admin)

    pool = ClientPool(options_of, Shared(PoolOptions()), 1, 60)
    try:
        outcomes = await asyncio.gather(*(pool.lease(identity(0), _SECONDS) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, FacadeError) for outcome in outcomes), outcomes
        assert all("socket.timeout.ms" in str(outcome) for outcome in outcomes)
        broken = False
        lease = await pool.lease(identity(0), _SECONDS)
        await lease.ports.admin.describe_cluster(_SECONDS)
    finally:
        await pool.close(5)


async def test_a_call_that_does_not_wait_leaves_nothing_in_use(stack: BackgroundStack) -> None:
    async with new_pool(stack.bootstrap_servers, most=1) as pool:
        with pytest.raises(KafkaTimeout):
            await pool.lease(identity(0), 0.0)
        cancelled = asyncio.create_task(pool.lease(identity(0), _SECONDS))
        await asyncio.sleep(0)
        cancelled.cancel()
        [outcome] = await asyncio.gather(cancelled, return_exceptions=True)
        if isinstance(outcome, Lease):
            # They were open before the task was cancelled.
            outcome.release()
        await until(lambda: identity(0).digest in pool._open)
        # Its place can be taken.
        (await pool.lease(identity(1), _SECONDS)).release()


async def test_another_password_has_other_clients() -> None:
    def with_password(password: str) -> KafkaIdentity:
        return KafkaIdentity(CLUSTER, "ann", admin={"sasl.password": password})

    assert with_password("one") == with_password("one")
    assert len({with_password("one"), with_password("two"), KafkaIdentity("other", "ann")}) == 3
    assert "one" not in repr(with_password("one"))


def _is_new(thread: threading.Thread, before: set[threading.Thread]) -> bool:
    return thread.name.startswith("kafka-io") and thread not in before


async def test_closing_the_pool_closes_all_clients(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    threads = set(threading.enumerate())
    before = librdkafka_clients()
    async with new_pool(stack.bootstrap_servers) as pool:
        await asyncio.gather(*(use(pool, number, name) for number in range(3)))
        held = await pool.lease(identity(3), _SECONDS)
        await held.ports.groups.list_groups(_SECONDS)
        await held.ports.producer.partition_count(name, _SECONDS)
        record = SerializedRecord(None, b"last", None, [], None)
        last = await held.ports.producer.submit(name, [record])
        opening = asyncio.create_task(pool.lease(identity(4), _SECONDS))
        await asyncio.sleep(0)
    # What was handed over is acknowledged, and who waited has clients or an error.
    assert isinstance((await last)[0], Delivery)
    assert isinstance((await asyncio.gather(opening, return_exceptions=True))[0], Lease | FacadeError)
    with pytest.raises(Unavailable):
        await pool.lease(identity(5), _SECONDS)
    with pytest.raises(KafkaError):
        await held.ports.groups.list_groups(_SECONDS)
    del held, opening
    gc.collect()
    await until(lambda: librdkafka_clients() == before)
    # Engines of other tests may have such threads too.
    await until(lambda: not [thread for thread in threading.enumerate() if _is_new(thread, threads)])
