"""Calls run in the worker that owns their instance's slot, also after it moves."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ConsumerInstanceNotFound, NotImplementedYet, Unavailable
from kafka_facade.core.instances.model import DeleteConsumer, FetchRecords, GetConsumerInstance
from kafka_facade.core.instances.placement import slot_of
from kafka_facade.core.topics.model import GetTopic
from kafka_facade.peers.certificate import new_certificate
from kafka_facade.peers.local import LocalOwnership
from kafka_facade.peers.ownership import SLOTS
from kafka_facade.peers.peer import Peer
from kafka_facade.peers.peers import Peers
from kafka_facade.peers.transport import TcpTransport, UnixTransport
from peers.bare_workers import Worker, core

_SECONDS = 30


@pytest.fixture(params=["unix", "tcp"])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Worker]]:
    """Three workers that own nothing yet."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        certificate = new_certificate()
        for name in "abc":
            tcp = request.param == "tcp"
            worker = Worker(TcpTransport("127.0.0.1", certificate) if tcp else UnixTransport(tmp_path / name))
            await worker.peers.start(worker.core)
            stack.push_async_callback(worker.peers.close)
            made.append(worker)
        yield made


def call(identifier: str, seconds: float = _SECONDS) -> Call:
    return Call(CATALOGUE[identifier], Caller("rest"), time.monotonic() + seconds)


SLOT = slot_of("g", "i", SLOTS)
DELETE = DeleteConsumer("g", "i")


async def test_the_owner_runs_the_call(workers: list[Worker]) -> None:
    first, second, _ = workers
    second.table.owned = {SLOT}
    first.table.addresses[SLOT] = second.transport.address
    requests: list[tuple[str, Any]] = [
        ("api.v2.consumers.delete", DELETE),
        ("api.v2.consumers.subscribe", GetConsumerInstance("g", "i")),
        ("api.v2.consumers.consume-json", FetchRecords("g", "i")),
    ]
    for identifier, request in requests:
        with pytest.raises(ConsumerInstanceNotFound) as raised:
            await first.peers.forward(call(identifier), request)
        assert raised.value.metadata == {"group": "g", "instance": "i"}


async def test_a_call_follows_a_slot_that_moves(workers: list[Worker]) -> None:
    first, second, third = workers
    # Both have heard of the second worker, which has lost the slot since.
    first.table.addresses[SLOT] = second.transport.address
    forwarding = asyncio.create_task(first.peers.forward(call("api.v2.consumers.delete"), DELETE))
    await asyncio.sleep(0.5)
    assert not forwarding.done()
    third.table.owned = {SLOT}
    first.table.addresses[SLOT] = third.transport.address
    with pytest.raises(ConsumerInstanceNotFound):
        await asyncio.wait_for(forwarding, _SECONDS)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("handing_over", [True, False])
async def test_a_slot_without_an_owner(workers: list[Worker], known: bool, handing_over: bool) -> None:
    first, second, _ = workers
    if known:
        first.table.addresses[SLOT] = second.transport.address
    made = call("api.v2.consumers.consume-json", seconds=1)

    async def hand_over(_: Any) -> None:
        raise AssertionError("nothing was run")

    made.hand_over = hand_over if handing_over else None
    with pytest.raises(Unavailable) as raised:
        await first.peers.forward(made, FetchRecords("g", "i"))
    assert raised.value.codes.retriable


async def test_other_operations_are_not_forwarded(workers: list[Worker]) -> None:
    first, _, _ = workers
    with pytest.raises(NotImplementedYet):
        first.core.forwardable.named("api.v3.topics.get", GetTopic.__name__)


async def test_a_connection_that_ends_while_the_answer_is_handed_over(workers: list[Worker]) -> None:
    first, second, _ = workers
    second.table.owned = {SLOT}
    first.table.addresses[SLOT] = second.transport.address
    made = call("api.v2.consumers.consume-json")
    vars(second.core)["perform_forwarded"] = _one_answer
    has_begun, go_on = asyncio.Event(), asyncio.Event()
    cancelled = False

    async def hand_over(_: Any) -> None:
        nonlocal cancelled
        has_begun.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    made.hand_over = hand_over
    forwarding = asyncio.create_task(first.peers.forward(made, FetchRecords("g", "i")))
    await asyncio.wait_for(has_begun.wait(), _SECONDS)
    await second.peers.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(forwarding, _SECONDS)
    assert cancelled


async def _one_answer(made: Call, _: Any) -> Any:
    assert made.hand_over is not None
    await made.hand_over([])
    return []


async def test_an_error_after_the_answer_reaches_the_caller(workers: list[Worker]) -> None:
    first, second, _ = workers
    second.table.owned = {SLOT}
    first.table.addresses[SLOT] = second.transport.address
    made = call("api.v2.consumers.consume-json")
    for waits in (True, False):
        ended = asyncio.Event()

        async def fails(forwarded: Call, _: Any, ended: asyncio.Event = ended, waits: bool = waits) -> Any:
            # The instance ends while the answer is handed over, or just after it.
            assert forwarded.hand_over is not None
            handing_over = asyncio.create_task(forwarded.hand_over([]))
            if waits:
                await ended.wait()
                handing_over.cancel()
            await asyncio.gather(handing_over, return_exceptions=True)
            raise ConsumerInstanceNotFound(group="g", instance="i")

        async def hand_over(_: Any, ended: asyncio.Event = ended, waits: bool = waits) -> None:
            ended.set()
            if waits:
                await asyncio.Event().wait()

        vars(second.core)["perform_forwarded"] = fails
        made.hand_over = hand_over
        with pytest.raises(ConsumerInstanceNotFound):
            await asyncio.wait_for(first.peers.forward(made, FetchRecords("g", "i")), _SECONDS)


async def test_channels_without_calls_are_closed(tmp_path: Path) -> None:
    idle_seconds = 0.5
    async with contextlib.AsyncExitStack() as stack:
        first, second = (Worker(UnixTransport(tmp_path / name), idle_seconds=idle_seconds) for name in "ab")
        for worker in (first, second):
            await worker.peers.start(worker.core)
            stack.push_async_callback(worker.peers.close)
        second.table.owned = {SLOT}
        first.table.addresses[SLOT] = second.transport.address
        known: dict[str, Peer] = vars(first.peers)["_known"]
        for _ in range(2):
            with pytest.raises(ConsumerInstanceNotFound):
                await first.peers.forward(call("api.v2.consumers.delete"), DELETE)
            [peer] = known.values()
            async with asyncio.timeout(_SECONDS):
                while known or peer.channel.get_state() is not grpc.ChannelConnectivity.SHUTDOWN:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

        async def long_read(forwarded: Call, _: Any) -> None:
            await asyncio.sleep(4 * idle_seconds)
            assert forwarded.hand_over is not None
            await forwarded.hand_over([])

        vars(second.core)["perform_forwarded"] = long_read
        assert await first.peers.forward(call("api.v2.consumers.consume-json"), FetchRecords("g", "i")) == []


async def test_the_workers_of_a_node_own_all_slots(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in "abc":
            transport = UnixTransport(tmp_path / name)
            ownership = LocalOwnership(tmp_path, 3, transport)
            peers = Peers(ownership, transport)
            await peers.start(core(peers))
            stack.push_async_callback(peers.close)
            made.append((ownership, peers, transport))
        async with asyncio.timeout(_SECONDS):
            while not all(any(map(ownership.owns, range(SLOTS))) for ownership, _, _ in made):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for slot in range(SLOTS):
            [owner] = [transport.address for ownership, _, transport in made if ownership.owns(slot)]
            assert {ownership.address_of(slot) for ownership, _, _ in made} == {owner}
        for _, peers, _ in made:
            with pytest.raises(ConsumerInstanceNotFound):
                await peers.forward(call("api.v2.consumers.delete"), DELETE)
