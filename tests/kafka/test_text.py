"""Invalid UTF-8 from Kafka is decoded with U+FFFD; all other decoding stays strict."""

import _thread
import asyncio
import ctypes
import gc
from collections import deque
from contextlib import suppress
from typing import Any
from uuid import uuid4

import kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TopicFactory
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.text import replacing_invalid_text
from kafka_facade_devstack.background import BackgroundStack
from raw_records import produce_with_headers

# How native code makes a string, and what it does to the process when that fails.
_from_c = ctypes.pythonapi.PyUnicode_FromString
_from_c.restype = ctypes.py_object

INVALID = b"a\xff\xc3(\xed\xa0\x80\xf0\x9f"


@given(st.binary().filter(lambda raw: b"\0" not in raw))
def test_invalid_utf_8_in_the_block_is_decoded_with_replacement(raw: bytes) -> None:
    with replacing_invalid_text:
        assert _from_c(raw) == raw.decode("utf-8", "replace")


def test_invalid_utf_8_outside_of_the_block_is_an_error() -> None:
    for decode in (_from_c, bytes.decode):
        with replacing_invalid_text, replacing_invalid_text:
            assert "\ufffd" in decode(INVALID)
        with pytest.raises(UnicodeDecodeError) as refused:
            decode(INVALID)
        assert (refused.value.start, refused.value.end) == (1, 2)
    with replacing_invalid_text, pytest.raises(UnicodeEncodeError):
        "\ud800".encode()


def test_an_error_leaves_no_reference_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(1000):
            with suppress(UnicodeDecodeError):
                INVALID.decode()
        assert gc.collect() < 100
    finally:
        gc.enable()


async def test_only_threads_of_the_client_decode_with_replacement() -> None:
    with replacing_invalid_text:
        elsewhere = asyncio.get_running_loop().run_in_executor(None, bytes.decode, INVALID)
    with pytest.raises(UnicodeDecodeError):
        await elsewhere
    blocking = Blocking("test", 1)
    assert await blocking.run(5, bytes.decode, INVALID) == INVALID.decode(errors="replace")
    blocking.close()


async def test_a_native_thread_decodes_with_replacement() -> None:
    found: deque[str] = deque()
    _thread.start_new_thread(found.extend, (map(bytes.decode, [INVALID]),))
    async with asyncio.timeout(5):
        while not found:  # noqa: ASYNC110  a native thread wakes no task
            await asyncio.sleep(0.01)
    assert list(found) == [INVALID.decode(errors="replace")]


async def read(consumer: ConsumerPort, count: int) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await consumer.poll(500, 1)
    return found


async def test_header_names_that_are_not_utf_8(stack: BackgroundStack, engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    # The interpreter calls what it has called often in another way, which checks less.
    ordinary: list[list[tuple[bytes, bytes]]] = [[(b"n", b"v"), (b"m", b"")]] * 1000
    odd: list[list[tuple[bytes, bytes]]] = [
        [(b"\xff\xfe", b"v")],
        [(b"ok", b"\xff"), (b"\xff", b""), (b"a\xc3", b"\0"), (b"", b"x"), ("\u00e9\U0001f600".encode(), b"y")],
        [(b"\xed\xa0\x80", b"v")] * 3,
        [],
    ]
    await produce_with_headers(stack.bootstrap_servers, name, [*ordinary, *odd, *ordinary])
    reader = await engine.create(group=None, auto_offset_reset="earliest", auto_commit=False, overrides={})
    await reader.assign([PartitionPosition(name, 0, 0)])
    records = await read(reader, 2000 + len(odd))
    await reader.close(5)
    assert [record.value for record in records] == [f"value-{n}".encode() for n in range(len(records))]
    assert records[0].headers == records[-1].headers == [Header("n", b"v"), Header("m", b"")]
    assert [record.headers for record in records[1000:-1000]] == [
        [Header(raw.decode(errors="replace"), value) for raw, value in headers] for headers in odd
    ]


async def test_a_member_of_a_group_continues_reading(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory
) -> None:
    name = await topic()
    await produce_with_headers(stack.bootstrap_servers, name, [[(b"\xff", b"v")]] * 600)
    member = await engine.create(
        group=f"group-{uuid4()}", auto_offset_reset="earliest", auto_commit=False, overrides={}
    )
    await member.subscribe([name])
    assert [record.headers for record in await read(member, 600)] == [[Header("\ufffd", b"v")]] * 600
    await member.close(10)


async def test_metadata_of_commits_is_unchanged(stack: BackgroundStack, engine: Engine, topic: TopicFactory) -> None:
    texts = ["m", "", "\u00e9" * 40, "x" * 1000, "a\u0000b", *("y" * n for n in range(2, 17))]
    name, group = await topic(partitions=len(texts)), f"group-{uuid4()}"
    await asyncio.to_thread(_commit, stack.bootstrap_servers, group, name, texts)
    consumer = await engine.create(group=group, auto_offset_reset="earliest", auto_commit=False, overrides={})
    partitions = [TopicPartition(name, n) for n in reversed(range(len(texts)))]
    found = await consumer.committed([*partitions, TopicPartition(name, 10_000)], 20)
    assert [(entry.partition, entry.offset, entry.metadata) for entry in found] == [
        (n, n + 1, texts[n]) for n in reversed(range(len(texts)))
    ]
    await consumer.commit({(name, 0): 7, (name, 1): 8}, 20, {(name, 0): "ours", (name, 1): ""})
    found = await consumer.committed(partitions[-2:], 20)
    assert [(entry.partition, entry.offset, entry.metadata) for entry in found] == [(1, 8, ""), (0, 7, "ours")]
    await consumer.close(10)


def _commit(bootstrap_servers: str, group: str, topic: str, texts: list[str]) -> None:
    client: Any = kafka
    consumer = client.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False)
    try:
        places = [client.TopicPartition(topic, n) for n in range(len(texts))]
        consumer.assign(places)
        consumer.commit({place: client.OffsetAndMetadata(n + 1, texts[n], -1) for n, place in enumerate(places)})
    finally:
        consumer.close()
