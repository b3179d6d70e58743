"""GraphQL variables with many values do not block the event loop."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from faces.conftest import MOST_BUSY, Watched

pytestmark = pytest.mark.xdist_group("event_loop")

Topic = Callable[..., Awaitable[str]]

PRODUCE = "mutation($input: ProduceRecordsInput!) { produceRecords(input: $input) { results { error { message } } } }"
BATCH = "mutation($input: ProduceRecordBatchInput!) { produceRecordBatch(input: $input) { failures { id } } }"
ASSIGN = """mutation($input: AssignConsumerPartitionsInput!) {
  assignConsumerPartitions(input: $input) { consumer { instanceId } }
}"""
RECORD = {
    "key": {"format": "STRING", "data": "k"},
    "value": {"format": "STRING", "data": "v"},
    "headers": [{"name": "a"}],
    "timestamp": "2026-01-01T00:00:00Z",
}
# As many as graphql.max.cost lets through.
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "empty records": (PRODUCE, {"records": [{}] * 3_000}),
    "records": (PRODUCE, {"records": [RECORD] * 800}),
    "timestamps": (PRODUCE, {"records": [{"timestamp": "2026-01-01T00:00:00.123Z"}] * 2_700}),
    "numbers": (PRODUCE, {"records": [{"value": {"format": "JSON", "data": [1.5] * 1_000}}] * 800}),
    "arrays": (PRODUCE, {"records": [{"value": {"format": "JSON", "data": [[]] * 600}}] * 1_000}),
}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "empty records": (PRODUCE, {"records": [{}] * 49_000}),
    "values": (PRODUCE, {"records": [{"value": {}}] * 24_000}),
    "headers": (PRODUCE, {"records": [{"headers": [{"name": "a"}] * 20_000}]}),
    "entries": (BATCH, {"entries": [{"id": "i", "record": {}}] * 12_000}),
    "partitions": (
        ASSIGN,
        {"group": "g", "instance": "i", "partitions": [{"topicName": "t", "partitionId": 1}] * 16_000},
    ),
}


async def _ask(watched: Watched, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=60) as client:
        body = {"query": document, "variables": {"input": variables}}
        found: dict[str, Any] = (await client.post(watched.gateway.graphql, json=body)).json()
    return found


@pytest.mark.parametrize("name", TAKEN)
async def test_many_records_are_produced(watched: Watched, topic: Topic, name: str) -> None:
    document, variables = TAKEN[name]
    variables = variables | {"topicName": await topic()}

    async def run() -> None:
        answer = await _ask(watched, document, variables)
        results = answer["data"]["produceRecords"]["results"]
        assert results == [{"error": None}] * len(variables["records"])

    assert await watched.quietest(run) < MOST_BUSY


@pytest.mark.parametrize("name", REFUSED)
async def test_too_many_input_objects_are_refused(watched: Watched, name: str) -> None:
    document, variables = REFUSED[name]

    async def run() -> None:
        [error] = (await _ask(watched, document, {"topicName": "t", **variables}))["errors"]
        assert "costs" in error["message"]

    assert await watched.quietest(run) < MOST_BUSY


@pytest.mark.parametrize("item", ["[]", "1", "1.5", '{"a":1}', "1.00000000000000000001"])
async def test_a_long_json_value(watched: Watched, topic: Topic, item: str) -> None:
    """One value of 2 MB."""
    name = await topic()
    data = "[" + ",".join([item] * (2_000_000 // (len(item) + 1))) + "]"
    records = f'[{{"value":{{"format":"JSON","data":{data}}}}}]'
    variables = f'{{"input":{{"topicName":"{name}","records":{records}}}}}'
    body = f'{{"query":{json.dumps(PRODUCE)},"variables":{variables}}}'

    async def run() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"content-type": "application/json"}
            answer = (await client.post(watched.gateway.graphql, content=body, headers=headers)).json()
        # Some weigh too much.
        assert "data" in answer or "errors" in answer

    assert await watched.quietest(run) < MOST_BUSY


async def test_many_partitions_of_a_subscription(watched: Watched) -> None:
    document = 'subscription($p: [Int!]) { records(topicName: "t", partitions: $p, follow: false) { offset } }'

    async def run() -> None:
        async with httpx.AsyncClient(timeout=60, headers={"accept": "text/event-stream"}) as client:
            body = {"query": document, "variables": {"p": list(range(49_000))}}
            answer = await client.post(watched.gateway.graphql, json=body)
        assert "errors" in answer.text

    assert await watched.quietest(run) < MOST_BUSY


async def test_a_variable_in_many_fields_is_refused(watched: Watched) -> None:
    fields = " ".join(f"a{n}: assignConsumerPartitions(input: $input) {{ __typename }}" for n in range(30))
    document = f"mutation($input: AssignConsumerPartitionsInput!) {{ {fields} }}"
    variables = {"group": "g", "instance": "i", "partitions": [{"topicName": "t", "partitionId": 1}] * 3_500}

    async def run() -> None:
        [error] = (await _ask(watched, document, variables))["errors"]
        assert "costs" in error["message"]

    assert await watched.quietest(run) < MOST_BUSY


REPEATED = {
    "in a value": ("JSON", "{ value: { format: JSON, data: [" + "$many " * 900 + "] } }", "x" * 100_000),
    "as values": ("JSON", "{ value: { format: JSON, data: $many } } " * 150, "x" * 1_000_000),
    "as records": ("RecordInput!", "$many " * 900, {"value": {"format": "STRING", "data": "x" * 100_000}}),
}


@pytest.mark.parametrize("name", REPEATED)
async def test_a_document_does_not_multiply_the_data_of_variables(watched: Watched, name: str) -> None:
    kind, records, value = REPEATED[name]
    document = f"""mutation($many: {kind}) {{
      produceRecords(input: {{ topicName: "t", records: [{records}] }}) {{ results {{ error {{ message }} }} }} }}"""

    async def run() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            body = {"query": document, "variables": {"many": value}}
            [error] = (await client.post(watched.gateway.graphql, json=body)).json()["errors"]
        assert "repeats variables" in error["message"]

    assert await watched.quietest(run) < MOST_BUSY
