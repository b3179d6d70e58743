"""Fetches and subscriptions return as many records as a response may have objects, and lose none."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

Execute = Callable[..., Awaitable[dict[str, Any]]]
TopicFactory = Callable[..., Awaitable[str]]
Records = list[tuple[bytes | None, list[tuple[str, bytes]]]]

# Each record is two objects, of the 20,000 of a response.
MANY = 20_500
HUGE = [("h", b"")] * 25_000
NULL: tuple[None, list[tuple[str, bytes]]] = (None, [])


async def _filled(stack: BackgroundStack, topic: TopicFactory, records: Records) -> str:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "queue.buffering.max.messages": 100_000})
    for value, headers in records:
        producer.produce(name, value, headers=list(headers), partition=0)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return name


async def _instance(execute: Execute, topic: str, more: str = "") -> str:
    group = f"objects-{uuid.uuid4().hex}"
    for mutation in (
        f'createConsumer(input: {{group: "{group}", name: "i", autoOffsetReset: "earliest"{more}}})',
        f'assignConsumerPartitions(input: {{group: "{group}", instance: "i", '
        f'partitions: [{{topicName: "{topic}", partitionId: 0}}]}})',
    ):
        assert "errors" not in await execute(f"mutation {{ {mutation} {{ __typename }} }}")
    return group


def _fetch(group: str, selection: str, more: str = "") -> str:
    given = f'group: "{group}", instance: "i", timeoutMs: 3000{more}'
    return f"fetchConsumerRecords(input: {{{given}}}) {{ {selection} }}"


@pytest.mark.parametrize("value", [None, b""])
async def test_fetches_get_past_many_small_records(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory, value: bytes | None
) -> None:
    # The fetch waits for as many as there are: they have no bytes.
    group = await _instance(execute, await _filled(stack, topic, [(value, [])] * MANY), ", fetchMinBytes: 1")
    offsets: list[int] = []
    sizes = []
    while len(offsets) < MANY:
        answer = await execute(f"mutation {{ {_fetch(group, 'records { record { offset value { base64 } } }')} }}")
        assert "errors" not in answer, answer["errors"]
        records = answer["data"]["fetchConsumerRecords"]["records"]
        assert records
        sizes.append(len(records))
        offsets += [int(entry["record"]["offset"]) for entry in records]
    assert offsets == list(range(MANY))
    assert max(sizes) <= 10_000


async def test_max_bytes_counts_about_a_hundred_bytes_more_for_each_record(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory
) -> None:
    group = await _instance(execute, await _filled(stack, topic, [NULL] * 100))
    found = []
    for most in (1, 2_000):
        answer = await execute(
            f"mutation {{ {_fetch(group, 'records { record { offset } }', f', maxBytes: {most}')} }}"
        )
        found.append([int(entry["record"]["offset"]) for entry in answer["data"]["fetchConsumerRecords"]["records"]])
    assert found[0] == [0]
    assert found[1] == list(range(1, len(found[1]) + 1))
    assert 10 <= len(found[1]) <= 20


async def test_several_fetches_and_other_fields_share_the_objects(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory
) -> None:
    first, second = [await _instance(execute, await _filled(stack, topic, [NULL] * MANY)) for _ in range(2)]
    selection = "consumer { instanceId assignments { topicName } } ...R"
    fragment = "fragment R on FetchConsumerRecordsPayload { x: records { a: record { offset } ...F } } "
    fragment += "fragment F on FetchedRecord { a: record { partitionId } b: record { headers { name } } }"
    done = {"a": 0, "b": 0}
    for _ in range(3):
        answer = await execute(
            f"mutation {{ a: {_fetch(first, selection)} b: {_fetch(second, selection)} }} {fragment}"
        )
        assert "errors" not in answer, answer["errors"]
        for name, start in done.items():
            records = answer["data"][name]["x"]
            offsets = [int(entry["a"]["offset"]) for entry in records]
            assert offsets == list(range(start, start + len(records)))
            assert len(records) > 500
            done[name] += len(records)


@pytest.mark.parametrize("headers", [100, 6_000])
async def test_headers_count_if_they_are_selected(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory, headers: int
) -> None:
    count = 60_000 // headers
    group = await _instance(execute, await _filled(stack, topic, [(b"v", HUGE[:headers])] * count))
    read = 0
    while read < count:
        answer = await execute(
            f"mutation {{ {_fetch(group, 'records { record { offset headers { name value { base64 } } } }')} }}"
        )
        assert "errors" not in answer, answer["errors"]
        for entry in answer["data"]["fetchConsumerRecords"]["records"]:
            assert (int(entry["record"]["offset"]), len(entry["record"]["headers"])) == (read, headers)
            read += 1


async def test_a_record_with_too_many_headers_does_not_stop_the_group(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await _filled(stack, topic, [(b"a", []), (b"b", HUGE), (b"c", [])])
    group = await _instance(execute, name)
    values, errors = [], []
    for _ in range(3):
        answer = await execute(
            f"mutation {{ {_fetch(group, 'records { value record { headers { name value { base64 } } } }')} }}"
        )
        errors += answer.get("errors", [])
        values += [(entry["value"], entry["record"]) for entry in answer["data"]["fetchConsumerRecords"]["records"]]
    assert values == [("YQ==", {"headers": []}), ("Yg==", None), ("Yw==", {"headers": []})]
    [error] = errors
    assert error["path"] == ["fetchConsumerRecords", "records", 0, "record"]
    assert f"The record at offset 1 of {name}-0 would have more than 20000 objects" in error["message"]
    assert error["extensions"]["metadata"] == {"topicName": name, "partitionId": "0", "offset": "1"}
    # Without its headers, it can be read like any other.
    again = await _instance(execute, name)
    answer = await execute(f"mutation {{ {_fetch(again, 'records { record { offset } }')} }}")
    assert [entry["record"]["offset"] for entry in answer["data"]["fetchConsumerRecords"]["records"]] == [0, 1, 2]


async def test_events_of_a_subscription_have_no_more_records_than_fit(
    gateway: Gateway, stack: BackgroundStack, topic: TopicFactory
) -> None:
    few = [(b"v", HUGE[:400])] * 100
    name = await _filled(stack, topic, [*few, (b"b", HUGE), *few])
    query = f"""subscription {{ records(topicName: "{name}", from: EARLIEST, follow: false) {{
      offset headers {{ name }}
    }} }}"""
    async with httpx.AsyncClient(timeout=60, headers={"accept": "text/event-stream"}) as client:
        answer = await client.post(gateway.graphql, json={"query": query})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    offsets = [int(record["offset"]) for event in events if event["data"] for record in event["data"]["records"]]
    assert offsets == [*range(100), *range(101, 201)]
    [failed] = [event for event in events if event.get("errors")]
    assert failed["data"] is None
    [error] = failed["errors"]
    assert f"The record at offset 100 of {name}-0 " in error["message"]
