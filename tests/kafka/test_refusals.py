"""A record that Kafka rejects does not fail others."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
from confluent_kafka import KafkaError as ClientError
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from hypothesis import given
from hypothesis import strategies as st

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, PayloadTooLarge, RetriableKafkaError
from kafka_facade.core.records.model import Delivery, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.kafka.producing.refusals import ALONE, MOST_ALONE, SMALL, Refused, plan
from kafka_facade.kafka.producing.submissions import Batch, Lane, Series
from kafka_facade_devstack.background import BackgroundStack

FAR_FUTURE = 9_000_000_000_000
GOOD = SerializedRecord(b"k", b"good", 0, [], None)
IN_FUTURE = SerializedRecord(b"k", b"bad", 0, [], FAR_FUTURE)
WITHOUT_KEY = SerializedRecord(None, b"bad", 0, [], None)
TOO_LARGE = SerializedRecord(b"k", b"bad" * 200, 0, [], None)


@pytest.fixture(
    params=[{}, {"acks": "1"}, {"queue.buffering.max.messages": "20"}], ids=["idempotent", "leader-acks", "narrow"]
)
async def engine(stack: BackgroundStack, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, producer=request.param))
    yield made
    await made.close(5)


async def _ready(engine: Engine, topic: TopicFactory, **config: str) -> str:
    name = await topic(config={key.replace("_", "."): value for key, value in config.items()})
    await engine.producer.partition_count(name, 10)
    return name


@pytest.mark.parametrize(
    ("config", "bad", "kind", "said"),
    [
        ({}, IN_FUTURE, InvalidKafkaRequest, ("timestamp", str(FAR_FUTURE))),
        ({"cleanup_policy": "compact"}, WITHOUT_KEY, InvalidKafkaRequest, ("key", "without a key")),
        ({"max_message_bytes": "500"}, TOO_LARGE, PayloadTooLarge, (None, "larger than the maximum")),
    ],
    ids=["timestamp", "key", "size"],
)
async def test_a_rejected_record_fails_alone(
    engine: Engine,
    topic: TopicFactory,
    config: dict[str, str],
    bad: SerializedRecord,
    kind: type[FacadeError],
    said: tuple[str | None, str],
) -> None:
    name = await _ready(engine, topic, **config)
    stored = 0
    async with asyncio.timeout(60):
        given = [[GOOD], *([GOOD, GOOD], [bad], [GOOD]) * 3, [bad, GOOD, bad]]
        pending = [await engine.producer.submit(name, records) for records in given]
        for records, future in zip(given, pending, strict=True):
            outcomes = await future
            for record, outcome in zip(records, outcomes, strict=True):
                if record is bad:
                    assert type(outcome) is kind
                    assert outcome.field == said[0]
                    assert said[1] in outcome.message
                else:
                    assert isinstance(outcome, Delivery)
                    stored += 1
        [last] = await (await engine.producer.submit(name, [GOOD]))
    assert isinstance(last, Delivery)
    assert last.offset == stored > 6


async def _outcomes_by_stream(
    engine: Engine, name: str, *, rounds: int = 30, pauses: Sequence[float] = (0, 0, 0.001, 0.02)
) -> list[list[tuple[SerializedRecord, Delivery | FacadeError]]]:
    """Run streams with some invalid records while other callers send only invalid ones."""
    chance = random.Random(5)
    done = asyncio.Event()

    async def spoil() -> None:
        while not done.is_set():
            await (await engine.producer.submit(name, [IN_FUTURE]))

    async def stream() -> list[tuple[SerializedRecord, Delivery | FacadeError]]:
        order = RecordOrder()
        pending, records = [], list[SerializedRecord]()
        for _ in range(rounds):
            given = [IN_FUTURE if chance.random() < 0.03 else GOOD for _ in range(chance.randrange(1, 30))]
            pending.append(await engine.producer.submit(name, given, order))
            records += given
            await asyncio.sleep(chance.choice(pauses))
        outcomes = [outcome for future in pending for outcome in await future]
        return list(zip(records, outcomes, strict=True))

    spoiling = [asyncio.create_task(spoil()) for _ in range(2)]
    async with asyncio.timeout(90):
        streams = await asyncio.gather(*(stream() for _ in range(8)))
        done.set()
        await asyncio.gather(*spoiling)
    for stream_outcomes in streams:
        offsets = [outcome.offset or 0 for _, outcome in stream_outcomes if isinstance(outcome, Delivery)]
        assert [pair for pair in itertools.pairwise(offsets) if pair[0] >= pair[1]] == []
    return streams


async def test_records_keep_their_order_when_some_are_resent(engine: Engine, topic: TopicFactory) -> None:
    name = await _ready(engine, topic)
    for outcomes in await _outcomes_by_stream(engine, name):
        for record, outcome in outcomes:
            assert isinstance(outcome, Delivery if record is GOOD else InvalidKafkaRequest)


async def test_records_keep_their_order_after_topic_limits_were_lowered(
    engine: Engine, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await _ready(engine, topic, message_timestamp_after_max_ms=str(2**62))
    narrower = ConfigEntry("message.timestamp.after.max.ms", "1", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[narrower])
    admin = AdminClient(dict(stack.super_user))
    await asyncio.gather(*map(asyncio.wrap_future, admin.incremental_alter_configs([change]).values()))
    # What the configs were is believed for a second: the streams last several.
    streams = await _outcomes_by_stream(engine, name, rounds=60, pauses=(0, 0.05, 0.1, 0.2))
    stored = good = 0
    for outcomes in streams:
        for record, outcome in outcomes:
            assert isinstance(outcome, (Delivery if record is GOOD else InvalidKafkaRequest, RetriableKafkaError))
            good += record is GOOD
            stored += isinstance(outcome, Delivery)
    assert stored > good * 0.8


async def test_records_are_not_resent_after_a_later_batch_was_stored() -> None:
    series, lane, loop = Series(), Lane("t"), asyncio.get_running_loop()
    first, second, third = (Batch([GOOD], 0, lane, series, loop.create_future()) for _ in range(3))
    second.outcomes[0] = Delivery(1, 0, None)
    third.outcomes[0] = Delivery(0, 0, None)
    assert series.stored_after(first) == {0, 1}
    assert series.stored_after(second) == {0}
    assert series.stored_after(third) == set()


async def test_a_caller_with_only_invalid_records_does_not_delay_others(engine: Engine, topic: TopicFactory) -> None:
    name = await _ready(engine, topic)
    done = asyncio.Event()
    refused = 0

    async def spoil() -> None:
        nonlocal refused
        while not done.is_set():
            outcomes = await (await engine.producer.submit(name, [IN_FUTURE] * 5))
            assert {type(outcome) for outcome in outcomes} == {InvalidKafkaRequest}
            refused += len(outcomes)

    async def write() -> list[Delivery | FacadeError]:
        return [(await (await engine.producer.submit(name, [GOOD])))[0] for _ in range(20)]

    spoiling = [asyncio.create_task(spoil()) for _ in range(5)]
    async with asyncio.timeout(90):
        outcomes = await asyncio.gather(*(write() for _ in range(20)))
        done.set()
        await asyncio.gather(*spoiling)
    assert all(isinstance(outcome, Delivery) for found in outcomes for outcome in found)
    assert refused


async def test_a_large_submission_with_an_invalid_record_keeps_its_order(
    stack: BackgroundStack, topic: TopicFactory
) -> None:
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    name = await _ready(engine, topic)
    now = int(time.time() * 1000)
    dated = SerializedRecord(None, b"x", 0, [], now)
    async with asyncio.timeout(60):
        outcomes = await (await engine.producer.submit(name, [*[dated] * 100, IN_FUTURE, *[dated] * 1_400]))
    assert type(outcomes.pop(100)) is InvalidKafkaRequest
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert set(kinds) == {Delivery, RetriableKafkaError}
    stored = [outcome.offset for outcome in outcomes if isinstance(outcome, Delivery)]
    assert stored == list(range(len(stored)))
    await engine.close(5)


async def test_closing_does_not_wait_for_resent_records(stack: BackgroundStack, topic: TopicFactory) -> None:
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    name = await _ready(engine, topic)
    pending = [await engine.producer.submit(name, [GOOD, IN_FUTURE, GOOD]) for _ in range(20)]
    started = time.monotonic()
    await engine.close(0)
    assert time.monotonic() - started < 10
    async with asyncio.timeout(5):
        for future in pending:
            assert len(await future) == 3


_codes = st.sampled_from(
    [ClientError.INVALID_TIMESTAMP, ClientError.INVALID_RECORD, ClientError.MSG_SIZE_TOO_LARGE, -138]
)


@given(
    st.sampled_from([0, SMALL]),
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([GOOD, IN_FUTURE, WITHOUT_KEY]), st.none() | _codes),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 3),
)
def test_the_plan_for_resending_keeps_the_order(
    client: int, given: list[tuple[int, SerializedRecord, int | None]], repeats: int
) -> None:
    entries = given * (repeats if len(given) < 20 else 100)
    codes = [(partition, code) for partition, _, code in entries]
    refused = [Refused(place, partition, code) for place, (partition, code) in enumerate(codes) if code is not None]
    outcomes = [Delivery(partition, 0, None) if code is None else None for partition, _, code in entries]
    then, chosen = plan(client, refused[::-1], [record for _, record, _ in entries], outcomes)
    assert then > client
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(refused)
    assert then == SMALL or len(chosen) <= MOST_ALONE

    def stored_later(entry: Refused) -> bool:
        return (entry.partition, None) in codes[entry.place :]

    assert not any(map(stored_later, chosen))
    assert len(chosen) == sum(not stored_later(entry) for entry in refused) or (
        then == ALONE and len(chosen) == MOST_ALONE
    )
