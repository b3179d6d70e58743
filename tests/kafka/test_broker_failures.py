"""If a broker refuses connections or hangs, or a thread dies, requests to other brokers continue."""

import asyncio
import contextlib
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from conftest import TopicFactory
from group_commits import commit
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.groups.port import GroupDescription
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.admin.leaders import Leaders, Place
from kafka_facade.kafka.admin.log_offsets import LATEST, LogOffsets
from kafka_facade.kafka.admin.reassignments import Reassignments
from kafka_facade.kafka.protocol import client as client_module
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade_devstack.background import BackgroundStack
from preferred_leaders import spread_leaders
from protocol_clients import MakeProtocol, ProtocolThreads

_SECONDS = 20
# Maximum time (s) of a request to a healthy broker while others wait for a hung one.
_SOON = 1.5


def _list_groups(admin: Any) -> Any:
    return admin.ListGroupsRequest(states_filter=[], types_filter=[])


async def test_a_coordinator_that_refuses_connections_fails_alone(
    three_brokers: BackgroundStack, topic: TopicFactory, make: MakeProtocol
) -> None:
    await spread_leaders(three_brokers)
    name = await topic(on=three_brokers, replicas=3)
    ids = [uuid.uuid4().hex for _ in range(30)]
    await commit(three_brokers.bootstrap_servers, ids, name, 1)
    coordinators = Coordinators(make(dict(three_brokers.super_user)))
    described = await coordinators.describe(ids, _SECONDS)
    of = {group: found.coordinator_id for group, found in described.items() if isinstance(found, GroupDescription)}
    [(gone, _)] = Counter(of.values()).most_common(1)
    assert gone is not None
    committed = {group: {(name, 0): 1} for group, node in of.items() if node != gone}
    free = list(committed)
    assert free
    # Until the cluster has noticed, this one still coordinates, and rejects requests.
    await three_brokers.kill_broker(gone - 1)
    all_groups = asyncio.create_task(coordinators.committed(ids, 3))
    times: list[float] = []
    while not all_groups.done():
        began = time.monotonic()
        assert await coordinators.committed(free, 3) == committed
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    answers = await all_groups
    assert {group: answers[group] for group in free} == committed
    assert max(times) < _SOON


async def test_a_short_deadline_does_not_end_requests_of_others(
    stack: BackgroundStack, make: MakeProtocol, protocol_threads: ProtocolThreads
) -> None:
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    await client.send(_list_groups, _SECONDS, node=1)
    before = protocol_threads()
    await stack.pause_broker(0)
    try:
        patient = asyncio.create_task(client.send(_list_groups, 4 * _SECONDS, node=1, again=False))
        await asyncio.sleep(0.1)
        for hurry in (0.05, 0.3, 0.8):
            with pytest.raises(KafkaTimeout):
                await client.send(_list_groups, hurry, node=1, again=False)
        assert not patient.done()
    finally:
        await stack.resume_broker(0)
    assert (await patient).error_code == 0
    assert protocol_threads() == before


async def test_an_error_response_does_not_close_the_connection(
    three_brokers: BackgroundStack, make: MakeProtocol, protocol_threads: ProtocolThreads
) -> None:
    client = make({"bootstrap.servers": three_brokers.bootstrap_servers})
    name = f"led-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})
    await asyncio.wrap_future(admin.create_topics([NewTopic(name, 1, replica_assignment=[[1, 2]])])[name])
    leaders, place = Leaders(client), (name, 0)
    await _led_by(leaders, place, 1)
    # Its first replica leads by preference; the other one is made the first.
    await _reassign(client, name, [2, 1])
    await asyncio.wrap_future(admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(name, 0)]))
    await _led_by(leaders, place, 2)
    outdated: list[Mapping[Place, int | FacadeError]] = [{place: 1}]

    async def find(places: Sequence[Place], timeout: float) -> Mapping[Place, int | FacadeError]:
        return outdated.pop() if outdated else await leaders.find(places, timeout)

    before = protocol_threads()
    assert await LogOffsets(client, find).of([place], (LATEST,), _SECONDS) == [{place: 0}]
    assert not outdated
    assert protocol_threads() == before


async def _led_by(leaders: Leaders, place: Place, broker: int) -> None:
    async with asyncio.timeout(_SECONDS):
        while (await leaders.find([place], _SECONDS))[place] != broker:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _reassign(client: ProtocolClient, topic: str, replicas: list[int]) -> None:
    def build(admin: Any) -> Any:
        kind = admin.AlterPartitionReassignmentsRequest
        partition = kind.ReassignableTopic.ReassignablePartition(partition_index=0, replicas=replicas)
        topics = [kind.ReassignableTopic(name=topic, partitions=[partition])]
        return kind(timeout_ms=5000, topics=topics)

    assert (await client.send(build, _SECONDS)).error_code == 0
    async with asyncio.timeout(_SECONDS):
        while True:
            if not await Reassignments(client).list_reassignments(_SECONDS):
                return
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def _one_name_hangs(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    real, over = socket.getaddrinfo, threading.Event()

    def look_up(host: Any, *args: Any, **named: Any) -> Any:
        if host != name:
            return real(host, *args, **named)
        over.wait(_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        yield
    finally:
        over.set()


@pytest.mark.serial
async def test_a_host_name_that_cannot_be_resolved_delays_no_other_request(
    stack: BackgroundStack, make: MakeProtocol, protocol_threads: ProtocolThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = f"nowhere.invalid:9092,{stack.bootstrap_servers}"
    with _one_name_hangs(monkeypatch, "nowhere.invalid"):
        # Each begins with a server of its choice.
        clients = [make({"bootstrap.servers": servers}) for _ in range(6)]
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(Reassignments(client).list_reassignments(4) for client in clients))
        assert answers == [[]] * 6
        began = time.monotonic()
        await asyncio.gather(*(client.close() for client in clients))
        assert time.monotonic() - began < 2
        assert len(protocol_threads()) == 1


async def test_late_connections_are_closed(
    stack: BackgroundStack, make: MakeProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_OPEN_SECONDS", 0.1)
    config = {"bootstrap.servers": "nowhere.invalid:1", "client.dns.lookup": "resolve_canonical_bootstrap_servers_only"}
    client = make(config)
    with _one_name_hangs(monkeypatch, "nowhere.invalid"):
        with pytest.raises(KafkaTimeout):
            await Reassignments(client).list_reassignments(1.3)
        await client.close()
    # Late ones would be left on the thread, which the fixture looks at.
    await asyncio.sleep(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ends_is_replaced(
    stack: BackgroundStack, make: MakeProtocol, protocol_threads: ProtocolThreads
) -> None:
    before = _event_polls()
    client = make({"bootstrap.servers": stack.bootstrap_servers})
    assert await Reassignments(client).list_reassignments(_SECONDS) == []
    [thread] = protocol_threads()
    [poll] = _event_polls() - before
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, poll)
    os.close(nothing)
    # The thread enters its wait once more.
    with pytest.raises(KafkaTimeout):
        await client.send(_list_groups, 0.3, again=False)
    assert not thread.is_alive()
    for _ in range(2):
        assert await Reassignments(client).list_reassignments(_SECONDS) == []
    assert len(protocol_threads()) == 1


def _event_polls() -> set[int]:
    found: set[int] = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:[eventpoll]":
                found.add(int(descriptor))
    return found
