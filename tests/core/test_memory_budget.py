"""The budget of memory for large requests."""

import asyncio
from collections.abc import Awaitable
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import NotFound, TooManyRequests
from kafka_facade.core.memory_budget import SMALL, MemoryBudget
from kafka_facade.core.reservation import Reservation

UNIT = SMALL * 2
TOTAL = 10 * UNIT


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _admitted(work: Awaitable[None]) -> bool:
    task = asyncio.ensure_future(work)
    await _settle()
    return task.done()


async def _hold(budget: MemoryBudget, caller: object, units: int) -> Reservation:
    reservation = Reservation(budget, caller)
    await reservation.resize(units * UNIT)
    return reservation


class Filled:
    """All of a budget, held by two callers."""

    def __init__(self, reservations: list[Reservation]) -> None:
        self._reservations = reservations

    def release(self) -> None:
        for reservation in self._reservations:
            reservation.release()


async def _fill(budget: MemoryBudget) -> Filled:
    """Hold all of the budget; fails unless all of it is free."""
    async with asyncio.timeout(1):
        return Filled([await _hold(budget, object(), 5) for _ in range(2)])


async def test_requests_wait_until_memory_is_free() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    waiting = asyncio.create_task(_hold(budget, "b", 4))
    await _settle()
    assert not waiting.done()
    first.release()
    (await waiting).release()


async def test_small_requests_do_not_wait() -> None:
    budget = MemoryBudget(TOTAL)
    await _fill(budget)
    await Reservation(budget, "b").resize(SMALL)


LARGE_TOTAL = 128 * UNIT
"""Of this budget a request for two units is small, and eight more are a reserve for small ones."""


async def _fill_large(budget: MemoryBudget) -> list[Reservation]:
    return [await _hold(budget, object(), 64) for _ in range(2)]


async def test_large_requests_keep_no_small_ones_waiting() -> None:
    budget = MemoryBudget(LARGE_TOTAL)
    await _fill_large(budget)
    large = [asyncio.create_task(_hold(budget, "large", 20)) for _ in range(10)]
    await _settle()
    for _ in range(3):
        small = [asyncio.create_task(_hold(budget, number, 2)) for number in range(5)]
        await _settle()
        assert [task.done() for task in small] == [True] * 4 + [False]
        # The next one gets the memory of the first.
        (await small[0]).release()
        await _settle()
        assert small[4].done()
        for task in small[1:]:
            (await task).release()
    assert not any(task.done() for task in large)
    for task in large:
        task.cancel()


async def test_a_caller_gets_half_of_the_reserve_and_its_large_requests_are_overtaken() -> None:
    budget = MemoryBudget(LARGE_TOTAL)
    first = await _fill_large(budget)
    tasks = [asyncio.create_task(_hold(budget, "a", units)) for units in (40, 2, 2, 2)]
    await _settle()
    assert [task.done() for task in tasks] == [False, True, True, False]
    tasks[3].cancel()
    other = await asyncio.wait_for(_hold(budget, "b", 2), 1)
    for held in (*first, other):
        held.release()
    for task in tasks[:3]:
        (await task).release()
    # All of it is free again, and the reserve too.
    await asyncio.wait_for(_fill_large(budget), 1)
    assert all([await asyncio.wait_for(_hold(budget, number, 2), 1) for number in range(4)])


async def test_a_cancelled_small_request_takes_nothing() -> None:
    budget = MemoryBudget(LARGE_TOTAL)
    await _fill_large(budget)
    held = [await _hold(budget, number, 2) for number in range(4)]
    waiting = asyncio.create_task(_hold(budget, "a", 2))
    await _settle()
    held[0].release()
    waiting.cancel()
    await _settle()
    assert waiting.cancelled()
    await asyncio.wait_for(_hold(budget, "b", 2), 1)


async def test_requests_for_more_than_half_run_one_at_a_time_beside_others() -> None:
    budget = MemoryBudget(TOTAL)
    small = await _hold(budget, "a", 1)
    huge = await _hold(budget, "b", 100)
    waiting = asyncio.create_task(_hold(budget, "c", 6))
    await _settle()
    assert not waiting.done()
    others = await _hold(budget, "d", 5)
    huge.release()
    await waiting
    for reservation in (small, others):
        reservation.release()
    await _hold(budget, "e", 5)


async def test_a_cancelled_huge_request_leaves_its_place() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _hold(budget, "a", 10)
    cancelled = asyncio.create_task(_hold(budget, "b", 10))
    await _settle()
    cancelled.cancel()
    first.release()
    await _settle()
    await asyncio.wait_for(_hold(budget, "c", 10), 1)


async def test_a_caller_with_many_requests_leaves_half_to_others() -> None:
    budget = MemoryBudget(TOTAL)
    many = [asyncio.create_task(_hold(budget, "a", 1)) for _ in range(20)]
    await _settle()
    assert sum(task.done() for task in many) == 5
    assert await _admitted(Reservation(budget, "b").resize(5 * UNIT))
    for task in many:
        task.cancel()


async def test_callers_are_admitted_in_turn() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    order: list[str] = []

    async def one(caller: str) -> None:
        reservation = await _hold(budget, caller, 5)
        order.append(caller)
        await _settle()
        reservation.release()

    tasks = [asyncio.create_task(one(caller)) for caller in ("a", "a", "a", "a", "b", "c")]
    await _settle()
    first.release()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "a", "a"]


async def test_large_requests_are_not_overtaken_for_ever() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _hold(budget, "a", 4)
    second = await _hold(budget, "b", 3)
    large = asyncio.create_task(_hold(budget, "c", 5))
    await _settle()
    small = asyncio.create_task(_hold(budget, "d", 1))
    await _settle()
    assert not small.done()
    first.release()
    await large
    await small
    second.release()


async def test_reservations_shrink_and_grow() -> None:
    budget = MemoryBudget(TOTAL)
    other = await _hold(budget, "a", 5)
    first = await _hold(budget, "b", 5)
    waiting = asyncio.create_task(_hold(budget, "c", 3))
    await _settle()
    await first.resize(2 * UNIT)
    second = await waiting
    # Does not wait, though it is more than there is.
    await first.resize(9 * UNIT)
    for reservation in (other, first, second):
        reservation.release()
    await _fill(budget)


async def test_a_cancelled_request_leaves_its_place() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    waiting = asyncio.create_task(_hold(budget, "b", 10))
    await _settle()
    waiting.cancel()
    await _settle()
    first.release()
    await _fill(budget)


@pytest.mark.parametrize("units", [5, 10])
async def test_a_request_cancelled_when_it_is_admitted_gives_its_memory_back(units: int) -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    huge = await _hold(budget, "a", 10)
    waiting = asyncio.create_task(_hold(budget, "b", units))
    await _settle()
    first.release()
    huge.release()
    waiting.cancel()
    await _settle()
    assert waiting.cancelled()
    await _fill(budget)
    async with asyncio.timeout(1):
        await _hold(budget, "a", 10)


async def test_too_many_of_one_caller_are_rejected_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_facade.core.memory_budget._MOST_WAITING", 3)
    budget = MemoryBudget(TOTAL)
    await _fill(budget)
    greedy = [asyncio.create_task(_hold(budget, "b", 1)) for _ in range(3)]
    await _settle()
    modest = asyncio.create_task(_hold(budget, "c", 1))
    await _settle()
    assert [task.done() for task in greedy] == [False, False, True]
    assert not modest.done()
    with pytest.raises(TooManyRequests):
        await greedy[2]
    with pytest.raises(TooManyRequests):
        await _hold(budget, "b", 1)
    for task in (*greedy, modest):
        task.cancel()


async def test_waiting_requests_are_rejected_in_a_shortage() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    waiting = [asyncio.create_task(_hold(budget, caller, 1)) for caller in ("b", "b", "c")]
    await _settle()
    budget.reject_waiting()
    for task in waiting:
        with pytest.raises(TooManyRequests):
            await task
    first.release()
    await _fill(budget)


async def test_patient_requests_are_not_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_facade.core.memory_budget._WAIT_SECONDS", 0.01)
    monkeypatch.setattr("kafka_facade.core.memory_budget._MOST_WAITING", 1)
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)

    async def event() -> None:
        async with Reservation(budget, "b").more(UNIT, patient=True):
            pass

    events = [asyncio.create_task(event()) for _ in range(3)]
    await asyncio.sleep(0.05)
    budget.reject_waiting()
    with pytest.raises(TooManyRequests):
        await _hold(budget, "c", 1)
    assert not any(event.done() for event in events)
    first.release()
    await asyncio.gather(*events)


async def test_requests_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_facade.core.memory_budget._WAIT_SECONDS", 0.01)
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    with pytest.raises(TooManyRequests):
        await _hold(budget, "b", 1)
    first.release()
    await _fill(budget)


async def test_parts_of_a_request_are_admitted_together() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    request = Reservation(budget, "b")
    ended: list[int] = []

    async def part(number: int) -> None:
        async with request.more(4 * UNIT):
            await _settle()
            ended.append(number)

    parts = [asyncio.create_task(part(number)) for number in range(6)]
    await _settle()
    assert not ended
    first.release()
    await asyncio.gather(*parts)
    assert ended == list(range(6))
    await _fill(budget)


async def test_the_oldest_request_grows_at_once_and_others_wait() -> None:
    budget = MemoryBudget(TOTAL)
    requests = [Reservation(budget, caller) for caller in "abc"]
    grown: list[int] = []
    go_on = [asyncio.Event() for _ in requests]

    async def run(number: int) -> None:
        async with requests[number].more(3 * UNIT), requests[number].more(4 * UNIT):
            grown.append(number)
            await go_on[number].wait()

    tasks = [asyncio.create_task(run(number)) for number in range(3)]
    await _settle()
    newcomer = asyncio.create_task(_hold(budget, "d", 1))
    await _settle()
    assert grown == [0]
    go_on[0].set()
    await _settle()
    assert grown == [0, 1]
    assert not newcomer.done()
    go_on[1].set()
    await _settle()
    assert grown == [0, 1, 2]
    go_on[2].set()
    await asyncio.gather(*tasks, newcomer)


async def test_parts_of_a_request_are_rejected_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_facade.core.memory_budget._WAIT_SECONDS", 0.05)
    budget = MemoryBudget(TOTAL)
    first = await _fill(budget)
    request = Reservation(budget, "b")

    async def part() -> None:
        async with request.more(UNIT):
            pass

    async with asyncio.timeout(0.15):
        outcomes = await asyncio.gather(*(part() for _ in range(10)), return_exceptions=True)
    assert all(isinstance(outcome, TooManyRequests) for outcome in outcomes)
    first.release()
    await _fill(budget)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12), st.booleans()), max_size=40))
def test_all_requests_are_admitted_and_all_memory_comes_back(requests: list[tuple[str, int, bool]]) -> None:
    async def run() -> None:
        budget = MemoryBudget(TOTAL)
        in_use = 0

        async def one(caller: str, units: int) -> None:
            nonlocal in_use
            reservation = await _hold(budget, caller, units)
            in_use += min(units, 10)
            try:
                # One of them may have more than half.
                assert in_use <= 20
                await asyncio.sleep(0)
            finally:
                in_use -= min(units, 10)
                reservation.release()

        tasks = [asyncio.create_task(one(caller, units)) for caller, units, _ in requests]
        await asyncio.sleep(0)
        for task, (_, _, cancelled) in zip(tasks, requests, strict=True):
            if cancelled:
                task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        await _fill(budget)

    asyncio.run(run())


@pytest.fixture
def quickly_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are slow after a moment."""
    monkeypatch.setattr("kafka_facade.core.reservation._SLOW_SECONDS", 0.01)


@pytest.mark.usefixtures("quickly_slow")
async def test_requests_that_wait_for_kafka_leave_room_for_others() -> None:
    budget = MemoryBudget(TOTAL)
    slow = await _hold(budget, "a", 5)
    huge = await _hold(budget, "b", 10)
    await _hold(budget, "c", 5)
    with slow.waiting(), huge.waiting():
        async with asyncio.timeout(1):
            other = await _hold(budget, "d", 5)
            (await _hold(budget, "e", 10)).release()
        other.release()
    # They count again.
    for units in (1, 10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _hold(budget, "f", units)
    slow.release()
    huge.release()
    await _hold(budget, "f", 5)


@pytest.mark.usefixtures("quickly_slow")
async def test_slow_requests_are_bounded() -> None:
    budget = MemoryBudget(TOTAL)
    with ExitStack() as stack:
        for number in range(4):
            held = await asyncio.wait_for(_hold(budget, number, 5), 1)
            stack.callback(held.release)
            stack.enter_context(held.waiting())
            await asyncio.sleep(0.03)
        last, other = await _hold(budget, "last", 5), await _hold(budget, "other", 5)
        with last.waiting():
            await asyncio.sleep(0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await _hold(budget, "further", 5)
            # It counts apart once there is room.
            stack.close()
            await asyncio.sleep(0.05)
            (await asyncio.wait_for(_hold(budget, "further", 5), 1)).release()
        other.release()


@pytest.mark.usefixtures("quickly_slow")
async def test_a_request_knows_that_it_would_keep_others_waiting() -> None:
    budget = MemoryBudget(TOTAL)
    with ExitStack() as stack:
        for number in range(4):
            held = await asyncio.wait_for(_hold(budget, number, 5), 1)
            assert not held.would_keep_others_waiting
            stack.callback(held.release)
            stack.enter_context(held.waiting())
            await asyncio.sleep(0.03)
            assert not held.would_keep_others_waiting
        last = await _hold(budget, "last", 5)
        assert last.would_keep_others_waiting
        assert not Reservation(budget, "none").would_keep_others_waiting
    assert not last.would_keep_others_waiting


@pytest.mark.usefixtures("quickly_slow")
async def test_slow_requests_of_one_caller_are_bounded() -> None:
    budget = MemoryBudget(TOTAL)
    with ExitStack() as stack:
        for _ in range(3):
            held = await asyncio.wait_for(_hold(budget, "greedy", 5), 1)
            stack.enter_context(held.waiting())
            await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _hold(budget, "greedy", 1)
        await asyncio.wait_for(_hold(budget, "other", 5), 1)


@pytest.mark.usefixtures("quickly_slow")
async def test_a_slow_request_may_end_while_it_counts_apart() -> None:
    budget = MemoryBudget(TOTAL)
    for _ in range(10):
        held = await asyncio.wait_for(_hold(budget, "a", 5), 1)
        with held.waiting(), held.waiting():
            await asyncio.sleep(0.03)
            held.release()
    (await _fill(budget)).release()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_that_gives_its_bytes_back_gets_them_again(fails: bool) -> None:
    budget = MemoryBudget(TOTAL)
    held = await _hold(budget, "a", 5)
    with suppress(NotFound):
        async with held.given_back():
            (await _fill(budget)).release()
            if fails:
                raise NotFound
    await _hold(budget, "b", 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _hold(budget, "c", 1)
    held.release()
    await asyncio.wait_for(_hold(budget, "c", 1), 1)


@pytest.mark.usefixtures("quickly_slow")
async def test_a_slow_request_that_grows_counts_apart_again() -> None:
    budget = MemoryBudget(TOTAL)
    held = await _hold(budget, "a", 3)
    with held.waiting():
        await asyncio.sleep(0.05)
        await held.resize(5 * UNIT)
        await asyncio.sleep(0.05)
        (await _fill(budget)).release()
    held.release()
    (await _fill(budget)).release()


async def test_memory_is_held_at_once_only_if_none_waits() -> None:
    budget = MemoryBudget(TOTAL)
    streams = [Reservation(budget, number) for number in range(4)]
    assert streams[0].hold_at_once(5 * UNIT)
    assert not Reservation(budget, 0).hold_at_once(UNIT)
    assert streams[1].hold_at_once(4 * UNIT)
    waiting = asyncio.create_task(streams[2].hold(2 * UNIT))
    await _settle()
    assert not waiting.done()
    assert not streams[3].hold_at_once(UNIT)
    streams[0].shrink(4 * UNIT)
    await waiting
    assert not streams[3].hold_at_once(UNIT)
    for stream in streams:
        stream.shrink(0)
    (await _fill(budget)).release()


async def test_a_caller_that_waits_for_its_own_share_makes_the_budget_not_short() -> None:
    budget = MemoryBudget(TOTAL)
    first = await _hold(budget, "a", 4)
    own = asyncio.create_task(_hold(budget, "a", 3))
    await _settle()
    assert budget.is_waited_for
    assert not budget.is_short
    second = await _hold(budget, "b", 5)
    other = asyncio.create_task(_hold(budget, "c", 3))
    await _settle()
    assert budget.is_short
    first.release()
    second.release()
    for waiting in (own, other):
        (await waiting).release()


async def test_a_large_request_does_not_wait_for_a_little_that_its_caller_keeps() -> None:
    budget = MemoryBudget(100 * SMALL)
    unread, record = Reservation(budget, "caller"), Reservation(budget, "caller")
    assert unread.hold_at_once(1024)
    async with asyncio.timeout(5):
        await record.hold(60 * SMALL)
