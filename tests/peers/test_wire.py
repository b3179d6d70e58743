"""What crosses between workers arrives as it was."""

import time
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError, NotFound, PartitionNotFound
from kafka_facade.core.instances import operations  # noqa: F401  registers the placed operations
from kafka_facade.core.instances.model import CommitOffsets, ConsumerInstance, CreateConsumer, GetConsumerInstance
from kafka_facade.core.instances.placement import PLACED, types_of
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, Header, Record
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.peers import wire

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


@given(payloads, payloads, json_values, json_values, st.none() | st.integers(0, 2**62))
def test_fetched_records(
    key: bytes | None, value: bytes | None, data: object, other: object, timestamp: int | None
) -> None:
    record = Record("t", 3, 2**62, timestamp, [Header("h", b"\0\xff"), Header("n", None)], key, value)
    infos = DataInfo(Format.STRING, error="not UTF-8"), DataInfo(Format.AVRO, 1, "t-value")
    described = FetchedRecord(record, None, other, *infos)
    for fetched in (FetchedRecord(record, key, value), FetchedRecord(record, data, other), described):
        assert wire.decode_outcome("fetch", wire.encode_answer("fetch", [fetched])) == [fetched]


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("create_named", CreateConsumer("g", "i", "json", "earliest", "true", "1", "1000")),
        ("get", GetConsumerInstance("g", "\u00e9")),
        ("commit", CommitOffsets("g", "i", [PartitionPosition("t", 0, 2**62)])),
        ("commit", CommitOffsets("g", "i", None)),
    ],
)
def test_calls(method: str, request_: object) -> None:
    call = Call(CATALOGUE["api.v2.consumers.create"], Caller("rest", None, "User:ann"), time.monotonic() + 5)
    name, decoded, request = wire.decode_call(wire.encode_call(method, call, request_))
    assert (name, decoded.operation, decoded.caller, request) == (method, call.operation, call.caller, request_)
    assert decoded.remaining == pytest.approx(5, abs=1)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("delete", None),
        ("get_subscription", ["a", "b"]),
        ("get_assignments", [TopicPartition("t", 1)]),
        ("get", ConsumerInstance("g", "i", Format.JSON, "latest", True, -1, 1000)),
    ],
)
def test_answers(method: str, answer: object) -> None:
    assert wire.decode_outcome(method, wire.encode_answer(method, answer)) == answer


@pytest.mark.parametrize("kind", sorted(ERRORS_BY_REASON))
def test_failures(kind: str) -> None:
    for error in (ERRORS_BY_REASON[kind](), ERRORS_BY_REASON[kind]("Said so.", topic="t")):
        with pytest.raises(FacadeError) as raised:
            wire.decode_outcome("fetch", wire.encode_failure(error))
        found = raised.value
        assert (type(found), found.message, found.metadata) == (type(error), error.message, error.metadata)
        assert found.own_message == error.own_message


def test_all_placed_operations_have_types() -> None:
    assert {"create_named", "fetch", "delete"} <= set(PLACED)
    for name in PLACED:
        request, _ = types_of(name)
        assert "group" in typing.get_type_hints(request)


def test_a_message_of_metadata_stays() -> None:
    with pytest.raises(PartitionNotFound) as raised:
        wire.decode_outcome("fetch", wire.encode_failure(PartitionNotFound(topic="t", partition="7")))
    assert isinstance(raised.value, NotFound)
    assert raised.value.message == "Partition not found: topic t, partition 7"
