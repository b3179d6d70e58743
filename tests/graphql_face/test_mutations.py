"""Mutations, with their effect in Kafka."""

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

Execute = Callable[..., Awaitable[dict[str, Any]]]
TopicFactory = Callable[..., Awaitable[str]]


def _data(answer: dict[str, Any]) -> Any:
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


@pytest.mark.parametrize(
    ("assignments", "message", "field"),
    [
        ([(0, [1]), (0, [1])], "assigned only once", "input.replicasAssignments[1].partitionId"),
        ([(0, [])], "replicasAssignments must name a broker", None),
    ],
)
async def test_invalid_replica_assignments(
    execute: Execute,
    stack: BackgroundStack,
    assignments: list[tuple[int, list[int]]],
    message: str,
    field: str | None,
) -> None:
    given = {
        "clusterId": stack.cluster_id,
        "topicName": f"assigned-{uuid.uuid4().hex}",
        "replicasAssignments": [{"partitionId": partition, "brokerIds": ids} for partition, ids in assignments],
    }
    document = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { topicName } } }"
    [error] = (await execute(document, input=given))["errors"]
    assert message in error["message"]
    assert error["extensions"].get("field") == field


async def test_create_change_and_delete_a_topic(execute: Execute, stack: BackgroundStack) -> None:
    where = {"clusterId": stack.cluster_id, "topicName": f"life-{uuid.uuid4().hex}"}

    async def write(mutation: str, selection: str, **more: Any) -> Any:
        kind = mutation[0].upper() + mutation[1:] + "Input"
        document = f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} }} }}"
        return _data(await execute(document, input=where | more))[mutation]

    made = await write(
        "createTopic",
        'topic { partitionsCount config(name: "retention.ms") { value } }',
        partitionsCount=2,
        configs=[{"name": "retention.ms", "value": "1000000"}],
    )
    assert made == {"topic": {"partitionsCount": 2, "config": {"value": "1000000"}}}
    grown = await write("updatePartitionCount", "topic { partitionsCount partitions { id } }", partitionsCount=3)
    assert grown["topic"]["partitionsCount"] == len(grown["topic"]["partitions"]) == 3

    async def config(name: str, expected: str) -> None:
        """Wait until the brokers show a config's new value."""
        document = """query ($c: ID!, $t: String!, $n: String!) {
          cluster(clusterId: $c) { topic(topicName: $t) { config(name: $n) { value } } } }"""
        for _ in range(100):
            answer = await execute(document, c=stack.cluster_id, t=where["topicName"], n=name)
            if (found := _data(answer)["cluster"]["topic"]["config"]["value"]) == expected:
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"{name} is {found}, not {expected}")

    updated = await write("updateTopicConfig", "config { name }", name="retention.ms", value="2000000")
    assert updated == {"config": {"name": "retention.ms"}}
    await config("retention.ms", "2000000")
    assert await write("resetTopicConfig", "topic { topicName }", name="retention.ms") == {
        "topic": {"topicName": where["topicName"]}
    }
    await config("retention.ms", "604800000")
    changes = [{"name": "cleanup.policy", "value": "compact"}, {"name": "retention.ms", "value": "3000000"}]
    await write("alterTopicConfigs", "topic { topicName }", data=changes, validateOnly=True)
    await config("cleanup.policy", "delete")
    await write("alterTopicConfigs", "topic { topicName }", data=changes)
    await config("cleanup.policy", "compact")
    await write("alterTopicConfigs", "topic { id }", data=[{"name": "cleanup.policy", "operation": "DELETE"}])
    await config("cleanup.policy", "delete")
    await config("retention.ms", "3000000")
    gone = await write("deleteTopic", "topicName cluster { clusterId }")
    assert gone == {"topicName": where["topicName"], "cluster": {"clusterId": stack.cluster_id}}


async def test_each_mutation_sees_the_effects_of_the_previous_one(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    document = """mutation ($a: UpdatePartitionCountInput!, $b: UpdatePartitionCountInput!) {
      a: updatePartitionCount(input: $a) { topic { partitions { partitionId } } }
      b: updatePartitionCount(input: $b) { topic { partitions { partitionId } } }
    }"""
    where = {"clusterId": stack.cluster_id, "topicName": name}
    data = _data(await execute(document, a=where | {"partitionsCount": 2}, b=where | {"partitionsCount": 3}))
    assert [len(data[alias]["topic"]["partitions"]) for alias in ("a", "b")] == [2, 3]


@pytest.mark.parametrize(
    ("mutation", "more", "code", "error_code"),
    [
        ("createTopic", {"topicName": "no such name"}, "INVALID_PAYLOAD", 42206),
        ("createTopic", {"topicName": "_schemas"}, "TOPIC_ALREADY_EXISTS", 40002),
        ("deleteTopic", {"topicName": "no-such-topic"}, "TOPIC_NOT_FOUND", 40403),
        ("updatePartitionCount", {"topicName": "_schemas", "partitionsCount": 1}, "INVALID_KAFKA_REQUEST", 40002),
        ("updateTopicConfig", {"topicName": "_schemas", "name": "nope", "value": "1"}, "NOT_FOUND", 404),
        ("deleteTopic", {"topicName": "_schemas", "clusterId": "other"}, "CLUSTER_NOT_FOUND", 404),
    ],
)
async def test_a_failed_mutation(
    execute: Execute, stack: BackgroundStack, mutation: str, more: dict[str, Any], code: str, error_code: int
) -> None:
    kind = mutation[0].upper() + mutation[1:] + "Input"
    answer = await execute(
        f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}",
        input={"clusterId": stack.cluster_id} | more,
    )
    assert answer["data"] == {mutation: None}
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["errorCode"]) == (code, error_code)


PRODUCE = """mutation ($input: ProduceRecordsInput!) { produceRecords(input: $input) { results {
  report { topicName partitionId offset timestamp key { type size } value { type size } }
  error { code errorCode message retriable }
} } }"""


def _read(bootstrap_servers: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return consumer.consume(count, timeout=20)
    finally:
        consumer.close()


async def test_records_are_stored_and_invalid_ones_have_errors(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    records = [
        {
            "key": {"format": "STRING", "data": "k"},
            "value": {"format": "JSON", "data": {"n": 2**53, "list": [None, True, 1.5]}},
            "headers": [{"name": "h", "value": base64.b64encode(b"\x00\xff").decode()}, {"name": "h"}],
            "timestamp": "2026-10-01T12:00:00.123Z",
        },
        {"value": {"format": "BINARY", "data": "*"}},
        {"value": {"format": "STRING", "data": 5}},
        {"partitionId": 7, "value": {"format": "STRING", "data": "x"}},
        {"value": {"format": "AVRO", "data": "x"}},
        {"key": {"format": "BINARY", "data": base64.b64encode(b"\xff").decode()}, "value": {"format": "JSON"}},
    ]
    answer = await execute(PRODUCE, input={"clusterId": stack.cluster_id, "topicName": name, "records": records})
    results = _data(answer)["produceRecords"]["results"]
    assert [result["error"] and result["error"]["code"] for result in results] == [
        None,
        "INVALID_REQUEST",
        "INVALID_REQUEST",
        "PARTITION_NOT_FOUND",
        "INVALID_REQUEST",
        None,
    ]
    assert all((result["report"] is None) != (result["error"] is None) for result in results)
    first = results[0]["report"]
    assert first["timestamp"] == "2026-10-01T12:00:00.123000+00:00"
    assert first["key"] == {"type": "STRING", "size": 1}
    assert results[5]["report"]["value"] == {"type": "JSON", "size": -1}
    one, two = await asyncio.to_thread(_read, stack.bootstrap_servers, name, 2)
    assert (one.key(), one.value()) == (b"k", b'{"n":9007199254740992,"list":[null,true,1.5]}')
    assert one.headers() == [("h", b"\x00\xff"), ("h", None)]
    assert (two.key(), two.value(), two.offset()) == (b"\xff", None, 1)


async def test_producing_to_an_unknown_topic(execute: Execute) -> None:
    answer = await execute(PRODUCE, input={"topicName": "no such name", "records": [{}]})
    [result] = _data(answer)["produceRecords"]["results"]
    assert result["error"]["code"] == "INVALID_TOPIC_NAME"


async def test_create_use_and_delete_a_consumer_instance(execute: Execute, topic: TopicFactory) -> None:
    name = await topic()
    values = [{"value": {"format": "JSON", "data": number}} for number in range(3)]
    _data(await execute(PRODUCE, input={"topicName": name, "records": values}))
    who = {"group": f"group-{uuid.uuid4().hex}", "instance": "one"}

    async def write(mutation: str, selection: str, **more: Any) -> Any:
        kind = mutation[0].upper() + mutation[1:] + "Input"
        document = f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} }} }}"
        return _data(await execute(document, input=who | more))[mutation]

    async def fetch(count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(20):
            found += (await write("fetchConsumerRecords", "records { key value record { offset value { text } } }"))[
                "records"
            ]
            if len(found) >= count:
                break
        return found

    created = _data(
        await execute(
            "mutation ($input: CreateConsumerInput!) {"
            " createConsumer(input: $input) { consumer { id instanceId format } } }",
            input={"group": who["group"], "name": "one", "format": "JSON", "autoOffsetReset": "earliest"},
        )
    )["createConsumer"]["consumer"]
    assert (created["instanceId"], created["format"]) == ("one", "JSON")
    subscribed = await write("subscribeConsumer", "consumer { subscription }", topics=[name])
    assert subscribed == {"consumer": {"subscription": [name]}}
    fetched = await fetch(3)
    assert [entry["value"] for entry in fetched] == [0, 1, 2]
    assert [entry["record"] for entry in fetched] == [{"offset": n, "value": {"text": str(n)}} for n in range(3)]
    partition = {"topicName": name, "partitionId": 0}
    await write("commitConsumerOffsets", "consumer { id }", offsets=[partition | {"offset": 1}])
    read = """query ($group: String!, $instance: String!, $partitions: [TopicPartitionInput!]!) {
      consumer(group: $group, instance: $instance) {
        id group autoOffsetReset subscription
        assignments { topicName partitionId partition { leader { brokerId } } }
        committedOffsets(partitions: $partitions) { topicName partitionId offset }
      }
    }"""
    found = _data(await execute(read, **who, partitions=[partition]))["consumer"]
    assert found["subscription"] == [name]
    assert found["assignments"] == [partition | {"partition": {"leader": {"brokerId": 1}}}]
    assert found["committedOffsets"] == [partition | {"offset": 2}]
    node = _data(await execute("query ($id: ID!) { node(id: $id) { id } }", id=found["id"]))["node"]
    assert node == {"id": created["id"]}
    await write("seekConsumerToBeginning", "consumer { id }", partitions=[partition])
    assert [entry["value"] for entry in await fetch(3)] == [0, 1, 2]
    await write("seekConsumerToOffsets", "consumer { id }", offsets=[partition | {"offset": 2}])
    assert [entry["value"] for entry in await fetch(1)] == [2]
    await write("seekConsumerToEnd", "consumer { id }", partitions=[partition])
    assert (await write("fetchConsumerRecords", "records { value }"))["records"] == []
    assert await write("unsubscribeConsumer", "consumer { subscription }") == {"consumer": {"subscription": []}}
    await write("assignConsumerPartitions", "consumer { id }", partitions=[partition])
    mismatch = await execute(
        "mutation ($input: FetchConsumerRecordsInput!) { fetchConsumerRecords(input: $input) { records { value } } }",
        input=who | {"format": "BINARY"},
    )
    assert mismatch["errors"][0]["extensions"]["errorCode"] == 40601
    for limit in (0, -1):
        refused = await execute(
            "mutation ($input: FetchConsumerRecordsInput!) { fetchConsumerRecords(input: $input) { consumer { id } } }",
            input=who | {"maxBytes": limit},
        )
        assert refused["errors"][0]["extensions"]["errorCode"] == 400
        assert refused["errors"][0]["extensions"]["field"] == "input.maxBytes"
    assert await write("deleteConsumer", "group instanceId") == {"group": who["group"], "instanceId": "one"}
    gone = await execute(read, **who, partitions=[])
    assert gone["errors"][0]["extensions"]["code"] == "CONSUMER_INSTANCE_NOT_FOUND"


async def test_the_bytes_that_a_mutation_fetches_are_bounded(
    gateway_factory: Callable[..., Awaitable[Gateway]], stack: BackgroundStack, topic: TopicFactory
) -> None:
    limit, count, length = 300_000, 100, 10_000
    gateway = await gateway_factory({"consumer.request.max.bytes": str(limit)})
    name, group = await topic(), f"group-{uuid.uuid4().hex}"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for _ in range(count):
        producer.produce(name, b"x" * length)
    assert await asyncio.to_thread(producer.flush, 20) == 0
    fetch = f'fetchConsumerRecords(input: {{group: "{group}", instance: "i"}})'
    async with httpx.AsyncClient(timeout=30) as client:

        async def mutate(body: str) -> dict[str, Any]:
            response = await client.post(gateway.graphql, json={"query": f"mutation {{ {body} }}"})
            found: dict[str, Any] = response.json()
            return found

        _data(
            await mutate(
                f'createConsumer(input: {{group: "{group}", name: "i", autoOffsetReset: "earliest"}}) {{ __typename }} '
                f'assignConsumerPartitions(input: {{group: "{group}", instance: "i", '
                f'partitions: [{{topicName: "{name}", partitionId: 0}}]}}) {{ __typename }}'
            )
        )
        aliases = " ".join(f"a{number}: value" for number in range(29))
        refused = await mutate(f"{fetch} {{ records {{ {aliases} }} }}")
        assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        offsets: list[int] = []
        while len(offsets) < count:
            fetches = [f"f{number}: {fetch} {{ records {{ value record {{ offset }} }} }}" for number in range(4)]
            answer = _data(await mutate(" ".join(fetches)))
            records = [entry for number in range(4) for entry in answer[f"f{number}"]["records"]]
            assert all(len(entry["value"]) >= length for entry in records)
            # Each of the other three may have one record more.
            assert len(records) <= limit // length + 3
            offsets += [entry["record"]["offset"] for entry in records]
        assert offsets == [*range(count)]
