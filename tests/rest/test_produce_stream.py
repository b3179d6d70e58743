"""v3 streamed produce: many records in one request, with results while it is open."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kafka_facade_devstack.gateway import Gateway

JSON = {"content-type": "application/json"}
_LIMIT = 3000
OpenStream = Callable[[str], Awaitable[Any]]
Topic = Callable[..., Awaitable[str]]


def _record(value: object, **more: object) -> bytes:
    return json.dumps({"value": {"type": "JSON", "data": value}, **more}).encode()


async def _end_offset(client: httpx.AsyncClient, name: str) -> int:
    offset: int = (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"]
    return offset


async def test_one_record(client: httpx.AsyncClient, cluster: str, topic: Topic) -> None:
    name = await topic(partitions=3)
    response = await client.post(
        f"{cluster}/topics/{name}/records",
        headers=JSON,
        content=_record({"a": [1, 2.5, None]}, partition_id=1, timestamp="2021-02-05T19:14:42Z"),
    )
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        "error_code": 200,
        "cluster_id": cluster.rpartition("/")[2],
        "topic_name": name,
        "partition_id": 1,
        "offset": 0,
        "timestamp": "2021-02-05T19:14:42Z",
        "value": {"type": "JSON", "size": 18},
    }


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"value": {"type": "BINARY", "data": "!!"}}, 400),
        ({"value": {"type": "STRING", "data": 5}}, 400),
        ({"value": {"type": "JSON"}}, 400),
        ({"bogus": 1}, 400),
        ({"partition_id": -1}, 40402),
        ({"partition_id": 99}, 40402),
        (None, 400),
        ([], 400),
        ({"value": {"type": "JSON", "data": "x" * 1_100_000}}, 413),
    ],
)
async def test_an_invalid_record_fails_alone(
    client: httpx.AsyncClient, cluster: str, topic: Topic, record: object, code: int
) -> None:
    content = _record(1) + json.dumps(record).encode() + b"\n" + _record(2)
    response = await client.post(f"{cluster}/topics/{await topic()}/records", headers=JSON, content=content)
    assert response.status_code == 200
    documents = [json.loads(line) for line in response.text.splitlines()]
    assert [document["error_code"] for document in documents] == [200, code, 200]
    assert [document.get("offset") for document in documents] == [0, None, 1]


@pytest.mark.parametrize("broken", [b"{bad", b'{"value":}', b'{"value":{"type":"JSON"', b"]"])
async def test_malformed_json_ends_the_stream_after_the_records_before_it(
    client: httpx.AsyncClient, cluster: str, topic: Topic, broken: bytes
) -> None:
    name = await topic()
    response = await client.post(
        f"{cluster}/topics/{name}/records", headers=JSON, content=_record(1) + broken + _record(2)
    )
    documents = [json.loads(line) for line in response.text.splitlines()]
    assert [document["error_code"] for document in documents] == [200, 400]
    assert await _end_offset(client, name) == 1


async def test_no_records(client: httpx.AsyncClient, cluster: str, topic: Topic) -> None:
    path = f"{cluster}/topics/{await topic()}/records"
    response = await client.post(path, headers=JSON, content=b" ")
    assert (response.status_code, response.content) == (200, b"")
    response = await client.post(path)
    assert (response.status_code, response.json()["error_code"]) == (422, 42206)


async def test_the_id_of_another_cluster_is_echoed(client: httpx.AsyncClient, topic: Topic) -> None:
    name = await topic()
    for number, (segment, named) in enumerate([("nope", "nope"), ("%c3%a9%2F", "é/"), ("-", "-"), ("x" * 249,) * 2]):
        path = f"/v3/clusters/{segment}/topics/{name}/records"
        response = await client.post(path, headers=JSON, content=_record(1))
        found = response.json()
        assert (response.status_code, found["cluster_id"], found["offset"]) == (200, named, number)
    unknown = await client.post("/v3/clusters/nope/topics/bad%20name/records", headers=JSON, content=_record(1))
    assert (unknown.status_code, unknown.json()["error_code"]) == (200, 40002)
    # Each answer would repeat it.
    long = f"/v3/clusters/{'x' * 250}/topics/{name}/records"
    response = await client.post(long, headers=JSON, content=_record(1))
    assert (response.status_code, response.json()["error_code"]) == (404, 404)
    assert await _end_offset(client, name) == 4


async def test_the_id_of_another_cluster_in_a_stream(gateway: Gateway, topic: Topic, open_stream: OpenStream) -> None:
    name = await topic()
    stream = await open_stream(f"{gateway.rest}/v3/clusters/nope/topics/{name}/records")
    await stream.send(_record(1))
    assert await stream.status() == 200
    found = await stream.answer()
    assert (found["cluster_id"], found["topic_name"], found["offset"]) == ("nope", name, 0)
    await stream.end()
    assert await stream.answer() is None


async def test_results_arrive_while_the_request_is_open(
    gateway: Gateway, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{await topic()}/records")
    await stream.send(_record(0))
    assert await stream.status() == 200
    assert (await stream.answer())["offset"] == 0
    # Cut within a record, within an escape and within a character.
    text = '{"value":{"type":"STRING","data":"ü\\u00fc"}}'.encode()
    for place in (1, text.index(b"\xc3") + 1, text.index(b"u00fc") + 2):
        await stream.send(text[:place])
        await asyncio.sleep(0.05)
        await stream.send(text[place:])
        answer = await stream.answer()
        assert (answer["error_code"], answer["value"]["size"]) == (200, 4)
    await stream.send(_record(1) + _record(2) + b"\n" + _record(3))
    assert [(await stream.answer())["offset"] for _ in range(3)] == [4, 5, 6]
    await stream.end()
    assert await stream.answer() is None


async def test_malformed_json_is_rejected_before_its_end(
    gateway: Gateway, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{await topic()}/records")
    await stream.send(_record(0) + b"{bad")
    assert await stream.status() == 200
    assert [answer["error_code"] for answer in await stream.answers()] == [200, 400]


async def test_many_records_keep_their_order(client: httpx.AsyncClient, cluster: str, topic: Topic) -> None:
    name = await topic()
    content = b"\n".join(_record(number) for number in range(5000))
    response = await client.post(f"{cluster}/topics/{name}/records", headers=JSON, content=content)
    assert [json.loads(line)["offset"] for line in response.text.splitlines()] == list(range(5000))


async def test_a_caller_that_does_not_read_gets_back_pressure(
    gateway: Gateway, client: httpx.AsyncClient, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    name = await topic()
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{name}/records")
    part = _record("x" * 1000) * 100
    sent = await _send_until_stuck(stream, part)
    # What the sockets and the stream hold between them is far less than the limit.
    assert sent < _LIMIT
    end = asyncio.create_task(stream.end())
    assert await stream.status() == 200
    offsets = [answer["offset"] for answer in await stream.answers()]
    await end
    assert offsets == list(range(100 * sent))
    assert await _end_offset(client, name) == len(offsets)


async def _send_until_stuck(stream: Any, part: bytes) -> int:
    """Send a part repeatedly until the other side has read nothing for two seconds; return the number of parts."""
    for sent in range(1, _LIMIT):
        try:
            await asyncio.wait_for(stream.send(part), 2)
        except TimeoutError:
            return sent
    return _LIMIT


async def test_records_of_a_disconnected_caller_are_stored(
    gateway: Gateway, client: httpx.AsyncClient, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    name = await topic()
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{name}/records")
    await stream.send(_record(0))
    assert await stream.status() == 200
    await stream.answer()
    await stream.send(_record(1) + b'{"value":')
    stream.writer.transport.abort()
    for _ in range(100):
        if await _end_offset(client, name) == 2:
            break
        await asyncio.sleep(0.05)
    assert await _end_offset(client, name) == 2
    assert (await client.get("/topics")).status_code == 200


async def test_shutdown_answers_the_records_that_were_read(
    gateway_factory: Any, stack: Any, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    gateway = await gateway_factory()
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{await topic()}/records")
    await stream.send(_record(0))
    assert await stream.status() == 200
    assert (await stream.answer())["offset"] == 0
    await stream.send(_record(1))
    assert (await stream.answer())["offset"] == 1
    await asyncio.gather(stack.stop_gateway(gateway), asyncio.wait_for(stream.answers(), 10))
    assert stream.ended


async def test_a_stream_ends_at_its_maximum_duration(
    gateway_factory: Any, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    gateway = await gateway_factory({"streaming.connection.max.duration.ms": "1000"})
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{await topic()}/records")
    await stream.send(_record(0))
    assert await stream.status() == 200
    assert len(await asyncio.wait_for(stream.answers(), 10)) == 1
    assert stream.ended


async def test_a_stream_with_the_smallest_window(
    gateway_factory: Any, cluster: str, topic: Topic, open_stream: OpenStream
) -> None:
    gateway = await gateway_factory({"streaming.max.in.flight.records": "1"})
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{await topic()}/records")
    for number in range(3):
        await stream.send(_record(number) * 1000)
    await stream.end()
    assert await stream.status() == 200
    answers = await asyncio.wait_for(stream.answers(), 60)
    assert [answer["offset"] for answer in answers] == list(range(3000))
