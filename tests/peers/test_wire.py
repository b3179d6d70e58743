"""Messages between workers are decoded unchanged."""

import asyncio
import os
import time
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError, NotFound, NotImplementedYet, PartitionNotFound
from kafka_facade.core.instances.model import (
    CommitOffsets,
    ConsumerInstance,
    CreateConsumer,
    DeleteConsumer,
    FetchRecords,
    GetAssignments,
    GetConsumerInstance,
    GetSubscription,
)
from kafka_facade.core.instances.operations import Consumers
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, Header, Record
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.registry import Registry
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.peers import wire
from kafka_facade.peers.wire import PIECE_BYTES, Wire
from loop_watch import watched

MEBIBYTE = 1 << 20

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
payloads = st.none() | st.binary(max_size=20)


DEFAULTS = ConsumerDefaults(1000, 1_000_000, 300_000, -1, "latest", True, 100)
REGISTRY = Registry([Consumers(DEFAULTS, asyncio.Event(), Decoding(Schemas(None)))], CATALOGUE)
WIRE = Wire(REGISTRY)
FETCH = FetchRecords("g", "i")


def call(identifier: str) -> Call:
    return Call(CATALOGUE[f"api.v2.consumers.{identifier}"], Caller("rest", None, "User:ann"), time.monotonic() + 5)


def through(identifier: str, request: Any, answer: Any) -> Any:
    made = call(identifier)
    return WIRE.decode_outcome(made, request, WIRE.encode_answer(answer))


async def pieces_of(answer: list[FetchedRecord]) -> list[bytes]:
    return [piece async for piece in WIRE.pieces(call("consume-json"), FETCH, answer)]


async def read(pieces: list[bytes]) -> Any:
    left = iter(pieces)

    async def following() -> bytes:
        return next(left)

    found = await WIRE.read_answer(call("consume-json"), FETCH, following)
    assert not list(left)
    return found


@given(payloads, payloads, json_values, json_values, st.none() | st.integers(0, 2**62))
def test_fetched_records(
    key: bytes | None, value: bytes | None, data: object, other: object, timestamp: int | None
) -> None:
    record = Record("t", 3, 2**62, timestamp, [Header("h", b"\0\xff"), Header("n", None)], key, value)
    infos = DataInfo(Format.STRING, error="not UTF-8"), DataInfo(Format.AVRO, 1, "t-value")
    described = FetchedRecord(record, None, other, *infos)
    for fetched in (FetchedRecord(record, key, value), FetchedRecord(record, data, other), described):
        for answer in ([fetched], [], [fetched] * 3):
            pieces = asyncio.run(pieces_of(answer))
            assert len(pieces) == 1
            assert asyncio.run(read(pieces)) == answer


@given(st.lists(st.sampled_from([0, 10, 1000, PIECE_BYTES, 3 * PIECE_BYTES, 9 * PIECE_BYTES + 1]), max_size=10))
async def test_large_answers_are_sent_in_pieces(sizes: list[int]) -> None:
    records = [Record("t", 0, number, None, [], b"k", bytes(size)) for number, size in enumerate(sizes)]
    answer = [FetchedRecord(record, record.key, record.value) for record in records]
    pieces = await pieces_of(answer)
    assert max(map(len, pieces)) < 6 * PIECE_BYTES
    assert len(pieces) <= 1 + 2 * sum(sizes) // PIECE_BYTES
    assert await read(pieces) == answer


async def test_many_records_and_their_json_are_sent_in_pieces() -> None:
    small = [FetchedRecord(Record("t", 0, number, None, [], None, b"1"), None, 1) for number in range(5000)]
    decoded = FetchedRecord(Record("t", 0, 0, None, [], b"k", b"avro"), "k" * PIECE_BYTES, {"v": "v" * PIECE_BYTES})
    for answer, most in ((small, 50_000), ([decoded] * 10, 3 * PIECE_BYTES)):
        pieces = await pieces_of(answer)
        assert len(pieces) >= 10
        assert max(map(len, pieces)) < most
        assert await read(pieces) == answer


@pytest.mark.serial
@pytest.mark.parametrize("where", ["key", "value"])
async def test_a_very_large_record_does_not_block_the_event_loop(where: str) -> None:
    large = os.urandom(48 * MEBIBYTE)
    record = Record("t", 0, 0, None, [], large if where == "key" else None, large if where == "value" else None)
    answer = [FetchedRecord(record, record.key, record.value)]
    busy = []
    for _ in range(3):
        async with watched() as watch:
            await asyncio.sleep(0.02)
            assert await read(await pieces_of(answer)) == answer
            await asyncio.sleep(0.02)
            busy.append(watch.longest_busy)
    assert min(busy) < 0.03


async def test_an_error_in_place_of_the_rest_of_an_answer() -> None:
    record = Record("t", 0, 0, None, [], None, bytes(5 * PIECE_BYTES))
    pieces = await pieces_of([FetchedRecord(record, None, record.value)] * 2)
    for sent in (1, len(pieces) // 2, len(pieces) - 1):
        with pytest.raises(PartitionNotFound):
            await read([*pieces[:sent], wire.encode_failure(PartitionNotFound())])


@pytest.mark.parametrize(
    ("identifier", "request_"),
    [
        ("create", CreateConsumer("g", "i", "json", "earliest", "true", "1", "1000")),
        ("consume-avro", GetConsumerInstance("g", "\u00e9")),
        ("consume-avro", FETCH),
        ("commit-offsets", CommitOffsets("g", "i", [PartitionPosition("t", 0, 2**62)])),
        ("commit-offsets", CommitOffsets("g", "i", None)),
    ],
)
def test_calls(identifier: str, request_: object) -> None:
    made = call(identifier)
    decoded, request = WIRE.decode_call(WIRE.encode_call(made, request_))
    assert (decoded.operation, decoded.caller, request) == (made.operation, made.caller, request_)
    assert type(request) is type(request_)
    assert decoded.remaining == pytest.approx(5, abs=1)


@pytest.mark.parametrize(
    ("identifier", "request_", "answer"),
    [
        ("delete", DeleteConsumer("g", "i"), None),
        ("get-subscription", GetSubscription("g", "i"), ["a", "b"]),
        ("get-assignments", GetAssignments("g", "i"), [TopicPartition("t", 1)]),
        (
            "get-subscription",
            GetConsumerInstance("g", "i"),
            ConsumerInstance("g", "i", Format.JSON, "latest", True, -1, 1000),
        ),
    ],
)
def test_answers(identifier: str, request_: object, answer: object) -> None:
    assert through(identifier, request_, answer) == answer


@pytest.mark.parametrize("kind", sorted(ERRORS_BY_REASON))
def test_failures(kind: str) -> None:
    for error in (ERRORS_BY_REASON[kind](), ERRORS_BY_REASON[kind]("Said so.", topic="t")):
        with pytest.raises(FacadeError) as raised:
            WIRE.decode_outcome(call("delete"), DeleteConsumer("g", "i"), wire.encode_failure(error))
        found = raised.value
        assert (type(found), found.message, found.metadata) == (type(error), error.message, error.metadata)
        assert found.own_message == error.own_message


def test_a_worker_that_is_not_the_owner() -> None:
    with pytest.raises(wire.MovedError):
        WIRE.decode_outcome(call("delete"), DeleteConsumer("g", "i"), wire.MOVED)


def test_all_operations_of_instances_can_be_forwarded() -> None:
    found = [name for name in CATALOGUE.identifiers if name.startswith("api.v2.consumers.")]
    assert len(found) > 10
    for name in found:
        hints = typing.get_type_hints(REGISTRY.implementation(name).request)
        assert "group" in hints


def test_other_operations_are_refused() -> None:
    payload = WIRE.encode_call(call("delete"), DeleteConsumer("g", "i"))
    forged = payload.replace(b"DeleteConsumer", b"DeleteTopicXYZ")
    assert forged != payload
    with pytest.raises(NotImplementedYet):
        WIRE.decode_call(forged)


def test_a_message_with_metadata_is_unchanged() -> None:
    failure = wire.encode_failure(PartitionNotFound(topic="t", partition="7"))
    with pytest.raises(PartitionNotFound) as raised:
        WIRE.decode_outcome(call("consume-json"), FETCH, failure)
    assert isinstance(raised.value, NotFound)
    assert raised.value.message == "Partition not found: topic t, partition 7"
