"""Assignments of members are decoded like kafka-python decodes them, invalid ones too."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin.assignments import encoded
from raw_kafka import array, assignment, text

_NAMES = st.one_of(st.none(), st.sampled_from([b"", b"a", b"b", "é".encode(), "\U0001f600".encode(), b"\xff"]))
_TOPICS = st.lists(st.tuples(_NAMES, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5)), max_size=6)
_HEADS = st.sampled_from([b"\0\0", b"\0\3", b"\0\4", b"\xff\xff"])
_TAILS = st.sampled_from(
    [struct.pack(">i", -1), b"", b"\0", struct.pack(">i", 3) + b"abc", struct.pack(">i", 3) + b"a"]
)


def _by_kafka_python(data: bytes) -> list[tuple[str, int]]:
    try:
        topics = ConsumerProtocolAssignment.decode(data).assigned_partitions
    except (struct.error, ValueError):
        return []
    return sorted((entry.topic, partition) for entry in topics if entry.topic for partition in entry.partitions)


@given(topics=_TOPICS, head=_HEADS, tail=_TAILS, cut=st.integers(0, 40))
def test_any_assignment(topics: list[tuple[bytes | None, list[int]]], head: bytes, tail: bytes, cut: int) -> None:
    whole = head + assignment(topics)[2:-4] + tail
    for data in (whole, whole[:-cut]):
        found = encoded(data).decode()
        assert [(entry.topic, entry.partition) for entry in found] == (_by_kafka_python(data) if data else [])


@given(topics=st.lists(st.tuples(st.text("aé\U0001f600", min_size=1), st.sets(st.integers(0, 9))), max_size=6))
def test_places(topics: list[tuple[str, set[int]]]) -> None:
    found = AssignedPartitions(
        (name.encode(), struct.pack(f">{len(partitions)}i", *partitions)) for name, partitions in topics
    )
    expected = sorted((name, partition) for name, partitions in topics for partition in partitions)
    assert [found[place] for place in range(len(found))] == [TopicPartition(*entry) for entry in expected]
    for name in {"b", *(name for name, _ in topics)}:
        assert list(found.partitions_of(name)) == [partition for topic, partition in expected if topic == name]
        for partition in range(-1, 11):
            place = found.place_of(name, partition)
            assert (place is not None) == ((name, partition) in expected)
            assert place is None or expected[place] == (name, partition)


def test_many_topics_in_any_order() -> None:
    names = [b"t%05d" % (number * 7919 % 20_011) for number in range(20_011)]
    data = struct.pack(">h", 0) + array([text(name) + array([b"\0\0\0\1"]) for name in names]) + b"\xff\xff\xff\xff"
    assert list(encoded(data).decode()) == [TopicPartition(name.decode(), 1) for name in sorted(names)]


def test_many_partitions_in_any_order() -> None:
    partitions = [number * 7919 % 20_011 for number in range(20_011)]
    found = encoded(assignment([(b"a", partitions)])).decode()
    assert list(found.partitions_of("a")) == list(range(20_011))
