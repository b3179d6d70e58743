"""Memory for large messages on their way out."""

from __future__ import annotations

import asyncio

import pytest

from kafka_facade.core import outgoing
from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.outgoing import LARGE, RECORD_COPIES, Message, Outgoing, use_peer

# Two messages at a time.
SIZE = 4 * LARGE
TOTAL = 2 * RECORD_COPIES * SIZE


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_PATIENCE_SECONDS": 0.05, "_LOOK_SECONDS": 0.01, "_TAKING_SECONDS": 0.1}.items():
        monkeypatch.setattr(outgoing, name, seconds)
    monkeypatch.setattr(outgoing, "_TAKING_RATE", 1 << 40)


class Client:
    """A connection, and whether it was cut off."""

    def __init__(self, budget: Outgoing) -> None:
        self._budget = budget
        self.is_cut_off = asyncio.Event()
        self._messages: list[Message] = []

    def cut_off(self) -> None:
        self.is_cut_off.set()
        for message in self._messages:
            message.release()

    async def take(self, size: int = SIZE) -> Message:
        """Begin to take a message, once there is memory for it."""
        use_peer(self, self.cut_off)
        message = self._budget.message()
        self._messages.append(message)
        await message.reserve(size, lasting=True)
        message.hand_over()
        return message


async def test_the_message_that_is_taken_the_longest_makes_room() -> None:
    budget = Outgoing(TOTAL)
    first, second, third = (Client(budget) for _ in range(3))
    async with asyncio.timeout(10):
        await first.take()
        await second.take()
        await third.take()
    assert first.is_cut_off.is_set()
    assert not second.is_cut_off.is_set()


async def test_nobody_is_cut_off_while_nobody_waits() -> None:
    budget = Outgoing(TOTAL)
    clients = [Client(budget) for _ in range(2)]
    for client in clients:
        await client.take()
    await asyncio.sleep(0.3)
    assert not any(client.is_cut_off.is_set() for client in clients)


async def test_a_client_that_waits_for_itself_cuts_off_nobody() -> None:
    budget = Outgoing(TOTAL)
    busy, other = Client(budget), Client(budget)
    message = await busy.take()
    await other.take()
    waiting = asyncio.create_task(busy.take())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert not busy.is_cut_off.is_set()
    assert not other.is_cut_off.is_set()
    message.release()
    async with asyncio.timeout(10):
        await waiting


async def test_a_message_larger_than_the_budget_is_sent_alone_beside_others() -> None:
    budget = Outgoing(TOTAL)
    small, huge, another = (Client(budget) for _ in range(3))
    async with asyncio.timeout(10):
        await small.take()
        await huge.take(10 * TOTAL)
        await another.take(10 * TOTAL)
    assert huge.is_cut_off.is_set()
    assert not small.is_cut_off.is_set()


async def test_small_messages_need_no_memory() -> None:
    budget = Outgoing(TOTAL)
    for _ in range(2):
        await Client(budget).take()
    async with asyncio.timeout(1), budget.hold(LARGE):
        pass


async def test_waiting_messages_are_rejected_at_shutdown() -> None:
    budget = Outgoing(TOTAL)
    for _ in range(2):
        await Client(budget).take()
    waiting = asyncio.create_task(Client(budget).take())
    await asyncio.sleep(0)
    budget.close()
    with pytest.raises(TooManyRequests):
        await waiting


async def test_a_shortage_cuts_off_those_that_hold_the_most() -> None:
    budget = Outgoing(TOTAL)
    small, large = Client(budget), Client(budget)
    await small.take(2 * LARGE)
    await large.take()
    assert budget.cut_off_largest(1, 60) == 0
    assert budget.cut_off_largest(1, 0) == 1
    assert large.is_cut_off.is_set()
    assert not small.is_cut_off.is_set()
    assert budget.cut_off_largest(TOTAL, 0) == 1
    assert small.is_cut_off.is_set()
