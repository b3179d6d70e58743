"""What every call goes through."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core import facade  # noqa: F401  # marks what is implemented
from kafka_facade.core.catalogue import BY_IDENTIFIER
from kafka_facade.core.errors import KafkaTimeout, NotImplementedYet, OperationBlocked, Unavailable
from kafka_facade.core.pipeline import AccessLists, Call, Pipeline


async def _echo(call: Call, request: str) -> str:
    return request


async def _sleep(call: Call, request: float) -> None:
    await asyncio.sleep(request)


@pytest.mark.parametrize(
    ("allow", "block", "permitted"),
    [
        ([], [], True),
        (["api.v3.topics.*"], [], True),
        (["api.v3.topics.get"], [], True),
        (["api.v3.topics.list"], [], False),
        ([], ["api.v3.topics.get"], False),
        ([], ["api.v3.topics.*"], False),
        (["api.v3.topics.*"], ["api.v3.topics.get"], False),
        ([], ["api.v3.topics"], True),
        ([], ["api.v3.*"], True),
    ],
)
def test_access_lists_match_identifiers_and_their_groups(allow: list[str], block: list[str], permitted: bool) -> None:
    assert AccessLists(allow, block).permits("api.v3.topics.get") is permitted


@given(st.sampled_from(sorted(BY_IDENTIFIER)))
def test_a_blocked_operation_is_blocked_even_if_allowed(identifier: str) -> None:
    assert not AccessLists([identifier], [identifier]).permits(identifier)


async def test_a_blocked_call_is_refused() -> None:
    pipeline = Pipeline(AccessLists(block=["api.v3.topics.get"]), 1.0)
    with pytest.raises(OperationBlocked):
        await pipeline.run(pipeline.call("api.v3.topics.get", "rest"), _echo, "x")
    assert await pipeline.run(pipeline.call("api.v3.topics.list", "rest"), _echo, "x") == "x"


async def test_what_is_not_implemented_says_so() -> None:
    pipeline = Pipeline(AccessLists(), 1.0)
    with pytest.raises(NotImplementedYet):
        await pipeline.run(pipeline.call("api.v3.links.list", "rest"), _echo, "x")


async def test_a_call_ends_at_its_deadline() -> None:
    pipeline = Pipeline(AccessLists(), 30.0)
    started = time.monotonic()
    with pytest.raises(KafkaTimeout):
        await pipeline.run(pipeline.call("api.v3.topics.get", "rest", timeout=0.05), _sleep, 20.0)
    assert time.monotonic() - started < 5


async def test_draining_waits_for_calls_in_flight_and_admits_no_more() -> None:
    pipeline = Pipeline(AccessLists(), 30.0)
    running = asyncio.create_task(pipeline.run(pipeline.call("api.v3.topics.get", "rest"), _sleep, 0.1))
    await asyncio.sleep(0.01)
    drained = asyncio.create_task(pipeline.drain(5.0))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await pipeline.run(pipeline.call("api.v3.topics.get", "rest"), _echo, "x")
    assert await drained
    assert running.done()


async def test_draining_gives_up_in_time() -> None:
    pipeline = Pipeline(AccessLists(), 30.0)
    running = asyncio.create_task(pipeline.run(pipeline.call("api.v3.topics.get", "rest"), _sleep, 20.0))
    await asyncio.sleep(0.01)
    assert not await pipeline.drain(0.05)
    running.cancel()
