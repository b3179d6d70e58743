"""The charset of a v3 body: UTF-8 or ISO-8859-1."""

import asyncio
import gzip
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

# Characters that are two bytes in UTF-8, and the last of ISO-8859-1.
_TEXT = "é\xa0\x85ÿ"
_RECORD = f'{{"value":{{"type":"STRING","data":"{_TEXT}"}}}}'


def _values(stack: BackgroundStack, topic: str) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
    try:
        partition = TopicPartition(topic, 0, 0)
        end = consumer.get_watermark_offsets(partition, timeout=10)[1]
        consumer.assign([partition])
        found = consumer.consume(end, timeout=20) if end else []
        return [message.value() for message in found]
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        (None, "utf-8"),
        ("utf-8", "utf-8"),
        ('"UTF8"', "utf-8"),
        ("us-ascii", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ('"iso-8859-1"', "latin-1"),
        ("latin1", "latin-1"),
    ],
)
async def test_text_is_decoded_by_its_charset(
    client: httpx.AsyncClient, cluster: str, topic: Any, stack: BackgroundStack, charset: str | None, encoding: str
) -> None:
    name = await topic()
    headers = {"content-type": "application/json" if charset is None else f"application/json;charset={charset}"}
    where = f"{cluster}/topics/{name}"
    body = _RECORD.encode(encoding)
    many = await client.post(f"{where}/records", headers=headers, content=body * 600)
    assert {line[:18] for line in many.text.splitlines()} == {'{"error_code":200,'}
    packed = {**headers, "content-encoding": "gzip"}
    assert (await client.post(f"{where}/records", headers=packed, content=gzip.compress(body))).status_code == 200
    batch = f'{{"entries":[{{"id":"1",{_RECORD[1:]}]}}'
    assert (await client.post(f"{where}/records:batch", headers=headers, content=batch.encode(encoding))).json()[
        "successes"
    ]
    assert await asyncio.to_thread(_values, stack, name) == [_TEXT.encode()] * 602


async def test_a_stream_with_any_chunk_boundaries(
    gateway: Gateway, cluster: str, topic: Any, open_stream: Any, stack: BackgroundStack
) -> None:
    name = await topic()
    stream = await open_stream(f"{gateway.rest}{cluster}/topics/{name}/records", "application/json; charset=ISO-8859-1")
    for byte in _RECORD.encode("latin-1"):
        await stream.send(bytes([byte]))
    assert await stream.status() == 200
    assert (await stream.answer())["value"] == {"type": "STRING", "size": len(_TEXT.encode())}
    await stream.send((_RECORD * 2).encode("latin-1"))
    await stream.end()
    assert [found["offset"] for found in await stream.answers()] == [1, 2]
    assert await asyncio.to_thread(_values, stack, name) == [_TEXT.encode()] * 3


async def test_an_unsupported_charset(
    client: httpx.AsyncClient, cluster: str, topic: Any, stack: BackgroundStack
) -> None:
    name = await topic()
    headers = {"content-type": "application/json; charset=utf-16"}
    response = await client.post(f"{cluster}/topics/{name}/records", headers=headers, content=_RECORD.encode("utf-16"))
    message = "The charset in Content-Type must be UTF-8 or ISO-8859-1."
    assert (response.status_code, response.json()) == (400, {"error_code": 400, "message": message})
    # Invalid UTF-8.
    headers = {"content-type": "application/json; charset=utf-8"}
    response = await client.post(f"{cluster}/topics/{name}/records", headers=headers, content=_RECORD.encode("latin-1"))
    assert (response.status_code, response.json()["error_code"]) == (200, 400)
    assert await asyncio.to_thread(_values, stack, name) == []


async def test_a_byte_order_mark_is_skipped(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    where = f"{cluster}/topics/{await topic()}"
    headers = {"content-type": "application/json"}
    mark = b"\xef\xbb\xbf"
    record = await client.post(f"{where}/records", headers=headers, content=mark + _RECORD.encode())
    assert record.json()["error_code"] == 200
    change = mark + b'{"value":"1000000"}'
    assert (await client.put(f"{where}/configs/retention.ms", headers=headers, content=change)).status_code == 204
    query = mark + b'{"query":"{ server { name } }"}'
    assert "errors" not in (await client.post("/graphql", headers=headers, content=query)).json()
