"""JSON values are stored unchanged or rejected, and unrepresentable values affect only their field."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from inspect import isawaitable
from typing import Any

import httpx
import msgspec
import pytest
from confluent_kafka import Producer
from graphql import GraphQLError, parse_value
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect

from kafka_facade.core.errors import DeserializationFailed
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.schemas import Schemas
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_graphql.context import use_decoding
from kafka_facade_graphql.numbers import decode_exactly
from kafka_facade_graphql.records import Content
from kafka_facade_graphql.scalars import JSON, SCALARS

Execute = Callable[..., Awaitable[dict[str, Any]]]
TopicFactory = Callable[..., Awaitable[str]]
Produce = Callable[..., Awaitable[None]]

scalar: Any = SCALARS[JSON]
# JSON that no answer can hold.
UNSHOWABLE = [
    b'"\\ud800"',
    b'{"\\udfff": 1}',
    b"1e400",
    b'{"a": [-1e400]}',
    b"1" * 5000,
    b"[" * 700 + b"]" * 700,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
]
NO_JSON = [b"NaN", b"[Infinity]", b'"\xed\xa0\x80"', b"[1e400,", b"[" * 20_000, b'"\\ud800', b""]


def _number(digits: str, point: int, exponent: int | None) -> str:
    text = digits if point >= len(digits) else f"{digits[:point]}.{digits[point:]}"
    return text if exponent is None else f"{text}e{exponent}"


# As JSON and GraphQL write them, also such as no double has.
numbers = st.builds(
    _number,
    st.from_regex(r"[1-9][0-9]{1,40}", fullmatch=True),
    st.integers(1, 45),
    st.none() | st.integers(-420, 420),
)
texts = st.recursive(
    numbers | st.sampled_from(["true", "false", "null", '"a"', '"\u00e4 1.5e400"']),
    lambda inner: st.lists(inner, max_size=4).map(lambda found: f"[{','.join(found)}]"),
)


def _exactly(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


def _has_room(value: Any) -> bool:
    """Whether all numbers are within the range of doubles."""
    if isinstance(value, list):
        return all(map(_has_room, value))
    return not isinstance(value, Decimal) or abs(float(value)) != float("inf")


@given(texts)
def test_accepted_values_are_stored_unchanged(text: str) -> None:
    expected = _exactly(text)
    reads: list[Callable[[], Any]] = [
        lambda: scalar.parse_literal(parse_value(text)),
        lambda: scalar.parse_value(decode_exactly(text)),
        lambda: scalar.parse_value(decode_exactly(text.encode())),
    ]
    for read in reads:
        try:
            data = read()
        except (GraphQLError, msgspec.ValidationError):
            assert not _has_room(expected)
        else:
            assert _exactly(msgspec.json.encode(data)) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, {"a": b"1"}, [{1, 2}]])
def test_values_that_are_not_json_are_rejected(value: Any) -> None:
    with pytest.raises(GraphQLError):
        scalar.parse_value(value)


@given(texts)
def test_returned_json_keeps_its_digits(text: str) -> None:
    content = Content(data=text.replace(",", " ,\n").encode())
    try:
        shown = content.json()
    except DeserializationFailed:
        assert not _has_room(_exactly(text))
    else:
        assert _exactly(msgspec.json.encode(shown)) == _exactly(text)


async def _json(data: bytes) -> Any:
    """The JSON value of bytes; for large ones it is awaitable."""
    use_decoding(Decoding(Schemas(None)))
    found: Any = Content(data=data).json()
    return await found if isawaitable(found) else found


@pytest.mark.parametrize("data", UNSHOWABLE, ids=lambda data: repr(data[:12]))
async def test_json_that_cannot_be_encoded_is_an_error(data: bytes) -> None:
    with pytest.raises(DeserializationFailed):
        await _json(data)


@pytest.mark.parametrize("data", NO_JSON, ids=lambda data: repr(data[:12]))
async def test_bytes_that_are_not_json_are_null(data: bytes) -> None:
    assert await _json(data) is None


PRODUCE = """mutation {{ produceRecords(input: {{topicName: "{topic}", records: [{{}}, {{
  {which}: {{format: {format}, data: {data}, schema: {schema}}}
}}]}}) {{ results {{ report {{ offset }} error {{ message field }} }} }} }}"""


@pytest.mark.parametrize("which", ["key", "value"])
@pytest.mark.parametrize("form", ["JSON", "AVRO"])
@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("1e400", ""),
        ("{a: [1, {b: -1e400}]}", ".a[1].b"),
        ("[1" + "0" * 5000 + "]", "[0]"),
        ("NaN", ""),
        ("{a: true, b: True}", ".b"),
        ("[null, [None]]", "[1][0]"),
    ],
)
async def test_invalid_literals_are_rejected_with_their_path(
    execute: Execute, topic: TopicFactory, form: str, which: str, data: str, place: str
) -> None:
    name = await topic()
    schema = '{schema: "\\"double\\""}' if form == "AVRO" else "null"
    found = await execute(PRODUCE.format(topic=name, which=which, format=form, data=data, schema=schema))
    [error] = found["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == f"input.records[1].{which}.data{place}"
    assert "data" not in found


VARIABLE = """mutation ($topic: String!, $data: JSON) { produceRecords(input: {topicName: $topic, records: [
  {partitionId: 0, value: {format: JSON, data: $data}},
  {partitionId: 0, value: {format: JSON, data: {a: $data, b: [$none, 12345678901234567890.5]}}}
]}) { results { report { offset } error { message } } } }""".replace("$data: JSON", "$data: JSON, $none: JSON")
READ = """subscription ($topic: String!) { records(topicName: $topic, from: EARLIEST, follow: false) {
  offset key { json } value { json text }
} }"""


def _body(query: str, variables: str) -> str:
    """A request with its variables as they are written here."""
    return f'{{"query": {json.dumps(query)}, "variables": {variables}}}'


async def _events(client: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    body = {"query": READ, "variables": {"topic": name}}
    answer = await client.post("/graphql", json=body, headers={"accept": "text/event-stream"})
    assert answer.text.endswith("event: complete\ndata: \n\n")
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


@pytest.fixture
async def websocket(gateway: Gateway) -> AsyncIterator[ClientConnection]:
    """A connection that speaks graphql-transport-ws."""
    url = f"{gateway.graphql.replace('http', 'ws', 1)}"
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None) as connection:  # type: ignore[list-item]
        await connection.send('{"type": "connection_init"}')
        assert json.loads(await connection.recv())["type"] == "connection_ack"
        yield connection


async def _until_complete(websocket: ClientConnection, payload: str) -> list[dict[str, Any]]:
    await websocket.send(f'{{"id": "1", "type": "subscribe", "payload": {payload}}}')
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while (message := json.loads(await websocket.recv()))["type"] == "next":
            found.append(message["payload"])
    assert message["type"] == "complete", message
    return found


async def test_numbers_in_variables_are_kept_or_rejected(
    client: httpx.AsyncClient, websocket: ClientConnection, topic: TopicFactory
) -> None:
    name = await topic()
    number = "[0.1234567890123456789012345, 1e-400, 123456789012345678901234567890, 1.5]"
    exact = _body(VARIABLE, f'{{"topic": "{name}", "data": {number}}}')
    beyond = _body(VARIABLE, f'{{"topic": "{name}", "data": [1e400]}}')
    post = {"content-type": "application/json"}
    answer = (await client.post("/graphql", content=exact, headers=post)).json()
    assert [entry["error"] for entry in answer["data"]["produceRecords"]["results"]] == [None, None]
    [over_websocket] = await _until_complete(websocket, exact)
    assert [entry["error"] for entry in over_websocket["data"]["produceRecords"]["results"]] == [None, None]
    assert (await client.post("/graphql", content=beyond, headers=post)).status_code == 400
    await websocket.send(f'{{"id": "2", "type": "subscribe", "payload": {beyond}}}')
    await websocket.wait_closed()
    assert websocket.close_code == 4400

    records = [record for event in await _events(client, name) for record in event["data"]["records"]]
    compact = number.replace(" ", "")
    nested = f'{{"a":{compact},"b":[null,12345678901234567890.5]}}'
    assert [record["value"]["text"] for record in records] == [compact, nested] * 2


async def test_a_record_that_cannot_be_encoded_is_null_with_an_error(
    execute: Execute,
    client: httpx.AsyncClient,
    websocket: ClientConnection,
    topic: TopicFactory,
    stack: BackgroundStack,
) -> None:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    # More than a few entries are encoded one by one.
    payloads = [b'{"good": 1.50}', *UNSHOWABLE, *NO_JSON, b"[" * 400 + b"]" * 400, b'"good"']
    for payload in payloads:
        producer.produce(name, key=payload, value=payload, partition=0)
    producer.flush(30)
    bad = range(1, 1 + len(UNSHOWABLE))

    def check(records: list[Any], errors: list[Any]) -> None:
        assert len(records) == len(payloads)
        for which in ("key", "value"):
            values = [record[which]["json"] for record in records]
            assert (values[0], values[-1]) == ({"good": 1.5}, "good")
            assert [index for index, value in enumerate(values) if value is None] == [*range(1, len(payloads) - 2)]
        assert {error["extensions"]["errorCode"] for error in errors} == {40801}
        places = sorted((error["path"][1], error["path"][2]) for error in errors)
        assert places == [(index, which) for index in bad for which in ("key", "value")]

    for events in (
        await _events(client, name),
        await _until_complete(websocket, json.dumps({"query": READ, "variables": {"topic": name}})),
    ):
        records = [record for event in events for record in event["data"]["records"]]
        errors: list[Any] = []
        start = 0
        for event in events:
            for error in event.get("errors", ()):
                field, index, *rest = error["path"]
                errors.append({**error, "path": [field, start + index, *rest]})
            start += len(event["data"]["records"])
        check(records, errors)

    group = f"json-{uuid.uuid4().hex}"
    for mutation in (
        f'createConsumer(input: {{group: "{group}", name: "i", format: JSON, autoOffsetReset: "earliest"}})',
        f'assignConsumerPartitions(input: {{group: "{group}", instance: "i", '
        f'partitions: [{{topicName: "{name}", partitionId: 0}}]}})',
    ):
        assert "errors" not in await execute(f"mutation {{ {mutation} {{ __typename }} }}")
    fetch = f"""mutation {{ fetchConsumerRecords(input: {{group: "{group}", instance: "i"}}) {{ records {{
      value valueInfo {{ error }} record {{ key {{ json }} value {{ json }} }}
    }} }} }}"""
    fetched: list[Any] = []
    errors = []
    while len(fetched) < len(payloads):
        found = await execute(fetch)
        for error in found.get("errors", ()):
            _, _, index, _, *rest = error["path"]
            errors.append({**error, "path": ["records", len(fetched) + index, *rest]})
        fetched += found["data"]["fetchConsumerRecords"]["records"]
    check([entry["record"] for entry in fetched], errors)
    undecoded = [index for index, entry in enumerate(fetched) if entry["valueInfo"]["error"]]
    assert undecoded == [*range(1, len(payloads) - 2)]
    assert all(fetched[index]["value"] is None for index in undecoded)
    assert fetched[-1]["value"] == "good"


async def test_json_that_would_become_too_large_is_an_error_of_its_field(
    gateway: Gateway, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await topic()
    limits = {"compression.type": "gzip", "message.max.bytes": 8_000_000}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, **limits})
    arrays = b"[" + b"[]," * 1_000_000 + b"1]"
    for payload in (arrays, b"[" + b"[]," * 300_000 + b"1]", b"2"):
        producer.produce(name, value=payload, partition=0)
    producer.flush(30)
    query = f"""subscription {{ records(topicName: "{name}", from: EARLIEST, follow: false) {{
      value {{ size json }}
    }} }}"""
    async with httpx.AsyncClient(timeout=60, headers={"accept": "text/event-stream"}) as client:
        answer = await client.post(gateway.graphql, json={"query": query})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    records = [record for event in events for record in event["data"]["records"]]
    errors = [error for event in events for error in event.get("errors", ())]
    assert [record["value"]["size"] for record in records] == [len(arrays), 900_003, 1]
    assert records[0]["value"]["json"] is None
    assert [error["extensions"]["errorCode"] for error in errors] == [40801]
    assert "can be read at once" in errors[0]["message"]
    assert len(records[1]["value"]["json"]) == 300_001
    assert records[2]["value"]["json"] == 2
