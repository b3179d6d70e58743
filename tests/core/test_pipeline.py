"""The pipeline: admission stages, deadlines and draining."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import KafkaTimeout, NotImplementedYet, OperationBlocked, Unavailable
from kafka_facade.core.pipeline import AccessLists, Pipeline, Stage

CALLER = Caller("rest")


def _pipeline(access: AccessLists, timeout: float, stages: Sequence[Stage] = ()) -> Pipeline:
    pipeline = Pipeline(access, timeout, stages)
    pipeline.serve({"api.v3.topics.get", "api.v3.topics.list", "api.v3.topics.delete"})
    return pipeline


async def _run(pipeline: Pipeline, seconds: float = 0.0, identifier: str = "api.v3.topics.get") -> None:
    with pipeline.admit(identifier, CALLER) as call:
        await pipeline.within(call, asyncio.sleep(seconds))


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


@given(st.sampled_from(sorted(CATALOGUE.identifiers)))
def test_a_blocked_operation_is_blocked_even_if_allowed(identifier: str) -> None:
    assert not AccessLists([identifier], [identifier]).permits(identifier)


async def test_a_blocked_call_is_rejected() -> None:
    pipeline = _pipeline(AccessLists(block=["api.v3.topics.get"]), 1.0)
    with pytest.raises(OperationBlocked):
        await _run(pipeline)
    await _run(pipeline, identifier="api.v3.topics.list")


async def test_operations_that_are_not_implemented_fail() -> None:
    pipeline = _pipeline(AccessLists(), 1.0)
    with pytest.raises(NotImplementedYet):
        await _run(pipeline, identifier="api.v3.links.list")


async def test_a_call_ends_at_its_deadline() -> None:
    pipeline = _pipeline(AccessLists(), 30.0)
    started = time.monotonic()
    with pytest.raises(KafkaTimeout), pipeline.admit("api.v3.topics.get", Caller("rest", 0.05)) as call:
        await pipeline.within(call, asyncio.sleep(20))
    assert time.monotonic() - started < 5


async def test_draining_waits_for_calls_in_flight_and_admits_no_more() -> None:
    pipeline = _pipeline(AccessLists(), 30.0)
    running = asyncio.create_task(_run(pipeline, 0.1))
    await asyncio.sleep(0.01)
    drained = asyncio.create_task(pipeline.drain(5.0))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await _run(pipeline)
    assert await drained
    assert running.done()


async def test_draining_gives_up_in_time() -> None:
    pipeline = _pipeline(AccessLists(), 30.0)
    running = asyncio.create_task(_run(pipeline, 20.0))
    await asyncio.sleep(0.01)
    assert not await pipeline.drain(0.05)
    running.cancel()


class _Recorder:
    """A stage that records calls and rejects one operation."""

    def __init__(self, name: str, seen: list[tuple[str, str, str]]) -> None:
        self._name = name
        self._seen = seen

    def enter(self, call: Call) -> None:
        self._seen.append((self._name, "enter", call.operation.identifier))
        if self._name == "second" and call.operation.identifier == "api.v3.topics.delete":
            raise Unavailable

    def leave(self, call: Call, error: BaseException | None) -> None:
        self._seen.append((self._name, "leave", type(error).__name__))


async def test_stages_see_how_each_call_ends() -> None:
    seen: list[tuple[str, str, str]] = []
    pipeline = _pipeline(AccessLists(), 30.0, [_Recorder("first", seen), _Recorder("second", seen)])
    await _run(pipeline)
    assert seen == [
        ("first", "enter", "api.v3.topics.get"),
        ("second", "enter", "api.v3.topics.get"),
        ("second", "leave", "NoneType"),
        ("first", "leave", "NoneType"),
    ]
    seen.clear()
    with pytest.raises(ValueError, match="bad"), pipeline.admit("api.v3.topics.get", CALLER):
        raise ValueError("bad")
    assert [entry[2] for entry in seen[2:]] == ["ValueError", "ValueError"]
    seen.clear()
    with pytest.raises(Unavailable):
        await _run(pipeline, identifier="api.v3.topics.delete")
    assert seen == [
        ("first", "enter", "api.v3.topics.delete"),
        ("second", "enter", "api.v3.topics.delete"),
        ("first", "leave", "Unavailable"),
    ]
    assert pipeline.in_flight == 0
