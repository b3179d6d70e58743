"""The state of the gateway in its topic: changes by the leader, reads on any worker, and topics that cannot be used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from denial import allowed
from kafka_facade.core.errors import InvalidRequest, KafkaAuthorizationFailed, KafkaTimeout, StateUnusable
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.state import State
from kafka_facade_devstack.background import BackgroundStack
from state.conftest import Raw, StateFactory
from state.counting import add, value

_DEEP = b'{"v":1,"x":' + b"[" * 10_000
_RECORD = {"v": 1, "value": 7}


async def test_a_worker_needs_no_topic_until_the_first_change(new_state: StateFactory) -> None:
    state = await new_state()
    assert await value(state, "n") is None
    assert await add(state, "n") == 1
    assert await value(state, "n") == 1


async def test_each_worker_changes_and_reads_what_all_have_done(new_state: StateFactory) -> None:
    """At once, not only after a moment."""
    states = [await new_state() for _ in range(3)]
    for expected in range(1, 10):
        assert await add(states[expected % 3], "n") == expected
        assert [await value(state, "n") for state in states] == [expected] * 3


async def test_changes_at_the_same_time_are_all_made(new_state: StateFactory) -> None:
    states = [await new_state() for _ in range(2)]
    await add(states[0], "n")
    sums = await asyncio.gather(*(add(states[number % 2], "n") for number in range(20)))
    assert sorted(sums) == list(range(2, 22))


async def test_two_workers_create_the_topic_at_the_same_time(new_state: StateFactory) -> None:
    states = [await new_state() for _ in range(2)]
    assert sorted(await asyncio.gather(*(add(state, "n") for state in states))) == [1, 2]


async def test_an_error_of_the_leader_reaches_the_caller(new_state: StateFactory) -> None:
    states = [await new_state() for _ in range(2)]
    await add(states[0], "n")
    for state in states:
        with pytest.raises(InvalidRequest, match="Numbers only grow"):
            await add(state, "n", -1)
        assert await value(state, "n") == 1


async def test_a_fault_in_background_work_stops_nothing_else(
    new_state: StateFactory, caplog: pytest.LogCaptureFixture
) -> None:
    state = await new_state()
    worked = asyncio.Event()

    async def broken(_: Leader) -> None:
        raise ZeroDivisionError

    async def works(_: Leader) -> None:
        worked.set()

    state.handlers.background += [broken, works]
    assert await add(state, "n") == 1
    async with asyncio.timeout(30):
        await worked.wait()
    assert await add(state, "n") == 2
    assert "background work on the state failed unexpectedly" in caplog.text
    assert "leading failed" not in caplog.text


async def test_another_worker_leads_soon_after_the_leader_has_closed(new_state: StateFactory) -> None:
    states = [await new_state() for _ in range(2)]
    await add(states[0], "n")
    await states[0].close()
    assert await add(states[1], "n") == 2


async def test_a_new_worker_reads_what_was_written_before(new_state: StateFactory, raw: Raw) -> None:
    await raw.create()
    await raw.write("number/n", _RECORD)
    state = await new_state()
    assert await value(state, "n") == 7
    assert await add(state, "n") == 8


async def test_records_that_are_none_count_as_deleted(
    new_state: StateFactory, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    await raw.create()
    await raw.write("number/kept", _RECORD)
    for text in (
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"v":"1"}',
        b'{"v":1}',
        b'{"v":1,"value":"x"}',
        b"[" * 10_000,
        _DEEP,
        b"",
        b'{"v":0}',
    ):
        await raw.write("number/n", _RECORD)
        await raw.write("number/n", text)
    await raw.write("unknown/key", {"v": 1})
    await raw.write("\0", b"x" * 900_000)
    state = await new_state()
    with caplog.at_level(logging.ERROR):
        assert await value(state, "n") is None
    assert caplog.text.count("no valid record at offset") == 11
    assert "(key number/n)" in caplog.text
    assert await value(state, "kept") == 7
    assert await add(state, "n") == 1


async def test_a_newer_record_stops_changes_but_not_reads(new_state: StateFactory, raw: Raw) -> None:
    state = await new_state()
    assert await add(state, "n") == 1
    await raw.write("number/other", {"v": 2, "secret": True})
    with pytest.raises(StateUnusable, match=r"version 2 .*number/other"):
        await add(state, "n")
    assert await value(state, "n") == 1
    late = await new_state()
    with pytest.raises(StateUnusable, match="needs a newer gateway"):
        await add(late, "n")
    await raw.write("number/other", None)
    async with asyncio.timeout(30):
        while True:
            try:
                assert await add(state, "n") == 2
            except StateUnusable:
                # The leader looks again each second.
                await asyncio.sleep(0.2)
            else:
                break


@pytest.mark.parametrize(
    ("partitions", "policy", "said"), [(1, "delete", "cleanup.policy is delete"), (2, "compact", "has 2 partitions")]
)
async def test_a_topic_that_loses_records_is_not_used(
    new_state: StateFactory, raw: Raw, partitions: int, policy: str, said: str
) -> None:
    await raw.create(partitions, policy)
    state = await new_state()
    with pytest.raises(StateUnusable, match=said):
        await value(state, "n")
    with pytest.raises(StateUnusable, match=said):
        await add(state, "n")


@pytest.mark.parametrize(
    ("kind", "rights", "reads"),
    [
        (ResourceType.TOPIC, (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.WRITE), False),
        (ResourceType.TOPIC, (AclOperation.READ, AclOperation.DESCRIBE_CONFIGS), True),
        (ResourceType.GROUP, (AclOperation.DESCRIBE,), True),
        (ResourceType.TRANSACTIONAL_ID, (AclOperation.DESCRIBE,), True),
    ],
)
async def test_a_gateway_without_a_right(
    new_state: StateFactory,
    raw: Raw,
    stack: BackgroundStack,
    topic: str,
    kind: ResourceType,
    rights: Sequence[AclOperation],
    reads: bool,
) -> None:
    """It has only these rights. It says so at once, and works as soon as it has the missing one."""
    await raw.create()
    await raw.write("number/n", _RECORD)
    async with allowed(stack, *((kind, topic, right) for right in rights), principal="User:ANONYMOUS"):
        state = await new_state()
        if reads:
            assert await value(state, "n") == 7
        else:
            with pytest.raises(KafkaAuthorizationFailed):
                await value(state, "n")
        began = time.monotonic()
        with pytest.raises(KafkaAuthorizationFailed):
            await add(state, "n")
        assert time.monotonic() - began < 15
    async with asyncio.timeout(30):
        while await _is_refused(state):  # noqa: ASYNC110  nothing tells of rights
            await asyncio.sleep(0.2)
    assert await add(state, "n") == 9


async def _is_refused(state: State) -> bool:
    try:
        assert await add(state, "n") == 8
    except KafkaAuthorizationFailed:
        return True
    return False


async def test_a_topic_that_was_deleted_is_created_again(new_state: StateFactory, raw: Raw) -> None:
    states = [await new_state() for _ in range(2)]
    for _ in range(3):
        await add(states[0], "n")
    await raw.delete()
    assert await value(states[1], "n") is None
    assert await add(states[0], "n") == 1
    assert await value(states[1], "n") == 1


async def test_a_change_that_nobody_makes_times_out(new_state: StateFactory, raw: Raw) -> None:
    """The request is not begun after its deadline."""
    await raw.create()
    state = await new_state()
    with pytest.raises(KafkaTimeout):
        await add(state, "n", timeout=0.05)
    body = {"name": "n", "amount": 1}
    late = {"v": 1, "kind": "numbers.add", "deadline_ms": round(time.time() * 1000) - 1, "body": body}
    await raw.write("request/late", late)
    await raw.write("request/unknown", late | {"kind": "no.such", "deadline_ms": round(time.time() * 1000) + 60_000})
    assert await add(state, "n") == 1
