"""Large v2 produce requests, which are decoded record by record."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kafka_facade.core.errors import PayloadTooLarge
from kafka_facade.core.limits import PRODUCED_RECORDS
from kafka_facade.rest.v2_records import split
from kafka_facade_devstack.gateway import Gateway

VALUES: list[Any] = [
    None, True, -1.5e300, 2**70, "", 'a"\\\\"', "}]", "é\u2028", [], {}, [[{"a": [1, "]"]}]], {"records": [1]},
    "x" * 200_000, [0] * 100_000, json.loads("[" * 90 + "]" * 90),
]  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
async def test_records_are_split(indent: int | None) -> None:
    records = [{"value": value} for value in VALUES]
    body = {"value_schema": '{"a":"],"}', "records": records, "key_schema_id": None}
    found = await split(json.dumps(body, indent=indent).encode())
    assert found is not None
    rest, texts = found
    assert json.loads(rest) == {"value_schema": '{"a":"],"}', "key_schema_id": None}
    assert [json.loads(bytes(text)) for text in texts] == records


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"{}", b"[]", b'{"records":[]}', b'{"records":[{}]', b'{"records":[{}', b'{"records":[{},]}'),
        *(b'{"records":[{}]}x', b'{"records":[{}],}', b'{"records":[{}],"records":[{}]}', b'{"records":{}}'),
        *(b'{"records":[{} {}]}', b'{"records":[{}}]', b'{"records":[{}]]', b'{"re\\u0063ords":[{}]}', b'{"a":,}'),
    ],
)
async def test_bodies_that_are_not_split(body: bytes) -> None:
    assert await split(body) is None


async def test_too_many_records_are_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        await split(b'{"records":[' + b"{}," * PRODUCED_RECORDS + b"{}]}")
    with pytest.raises(PayloadTooLarge):
        await split(b'{"records":[[' + b"[]," * 3_000_000 + b"1]]}")


async def test_a_large_request_is_answered_as_a_small_one(
    gateway: Gateway, topic: Callable[..., Awaitable[str]]
) -> None:
    name = await topic()
    headers = {"content-type": "application/vnd.kafka.json.v2+json"}
    large = [{"value": {"n": number, "a": [[]] * 20}} for number in range(2000)]
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60, headers=headers) as client:

        async def produce(records: list[Any], **others: object) -> httpx.Response:
            return await client.post(f"/topics/{name}", json={"records": records, **others})

        answer = await produce([*large, {"key": "a", "value": 1.5, "partition": 0}, {}])
        assert [entry["error"] for entry in answer.json()["offsets"]] == [None] * 2002
        assert sorted(entry["offset"] for entry in answer.json()["offsets"]) == list(range(2002))
        for bad in ({"valu": 1}, {"partition": "x"}, 5, {"partition": 2**40}):
            small = await produce([{}, bad])
            assert small.status_code in (400, 422)
            answer = await produce([*large, bad])
            assert answer.status_code == small.status_code
            expected = small.json()
            expected["message"] = expected["message"].replace("records[1]", "records[2000]")
            assert answer.json() == expected
        small, answer = await produce([{}], valueschema=1), await produce(large, valueschema=1)
        assert answer.json() == small.json()
