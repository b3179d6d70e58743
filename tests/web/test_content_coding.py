"""Compressed request bodies, and decompression bombs."""

import asyncio
import gzip
import json
import zlib

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade.core.errors import FacadeError, MalformedBody, PayloadTooLarge, UnsupportedMediaType
from kafka_facade.web.content_coding import decoded
from kafka_facade_devstack.gateway import Gateway

_V2_JSON = "application/vnd.kafka.json.v2+json"
_GZIP = {b"content-encoding": b"gzip"}


async def _body(pieces: list[bytes], headers: dict[bytes, bytes] = _GZIP) -> tuple[bytes, int]:
    """The whole body, and the length of its longest part."""
    waiting = list(pieces)

    async def read() -> tuple[bytes, bool]:
        return waiting.pop(0), bool(waiting)

    read_decoded = decoded(headers, read)
    parts = []
    more = True
    while more:
        part, more = await read_decoded()
        parts.append(part)
    return b"".join(parts), max(map(len, parts))


@given(st.lists(st.binary(max_size=2000), max_size=4), st.integers(1, 400), st.integers(1, 500))
@settings(max_examples=50)
def test_any_body_in_any_pieces(members: list[bytes], size: int, repeat: int) -> None:
    members = [member * repeat for member in members]
    data = b"".join(map(gzip.compress, members))
    size = max(size, len(data) // 500)
    pieces = [data[place : place + size] for place in range(0, len(data), size)] or [b""]
    assume_small = sum(map(len, members)) <= 1024 * 1024 or sum(map(len, members)) <= 200 * len(data)
    if not assume_small:
        with pytest.raises(PayloadTooLarge):
            asyncio.run(_body(pieces))
        return
    found, longest = asyncio.run(_body(pieces))
    assert found == b"".join(members)
    assert longest <= 256 * 1024


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"not gzip", MalformedBody),
        (gzip.compress(b"x" * 1000)[:-1], MalformedBody),
        (gzip.compress(b"x" * 1000)[:-4] + b"\0\0\0\0", MalformedBody),
        (gzip.compress(b"x") + b"rest", MalformedBody),
        (zlib.compress(b"x"), MalformedBody),
        (gzip.compress(b"x" * 10_000_000), PayloadTooLarge),
        (gzip.compress(b"") * 2000, PayloadTooLarge),
    ],
    ids=["not gzip", "cut", "another length", "more than gzip", "zlib", "bomb", "many members"],
)
async def test_invalid_gzip(data: bytes, error: type[FacadeError]) -> None:
    with pytest.raises(error):
        await _body([data])


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"gzip, gzip", b"zstd"])
async def test_unknown_codings(coding: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        await _body([b"{}"], {b"content-encoding": coding})


@pytest.mark.parametrize("headers", [{}, {b"content-encoding": b"identity"}, {b"content-encoding": b""}])
async def test_no_coding(headers: dict[bytes, bytes]) -> None:
    assert (await _body([b"{}"], headers))[0] == b"{}"


async def test_both_faces_accept_gzip(gateway: Gateway, topic: TopicFactory, cluster_id: str) -> None:
    name = await topic()
    coded = {"content-encoding": "GZIP"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        body = gzip.compress(b'{"records":[{"value":1}]}')
        response = await client.post(f"/topics/{name}", content=body, headers=coded | {"content-type": _V2_JSON})
        assert response.json()["offsets"][0]["offset"] == 0
        typed = coded | {"content-type": "application/json"}
        path = f"/v3/clusters/{cluster_id}/topics/{name}/records"
        records = gzip.compress(b'{"value":{"type":"JSON","data":1}}' * 700)
        response = await client.post(path, content=records, headers=typed)
        assert [json.loads(line)["offset"] for line in response.text.splitlines()] == list(range(1, 701))
        response = await client.post("/graphql", content=gzip.compress(b'{"query":"{ __typename }"}'), headers=typed)
        assert response.json() == {"data": {"__typename": "Query"}}
        for coding in ("br", "gzip, br"):
            for where in (f"/topics/{name}", path, "/graphql"):
                typed = {"content-type": "application/json", "content-encoding": coding}
                response = await client.post(where, content=b"{}", headers=typed)
                assert response.status_code == 415, where


async def test_bombs_are_refused(gateway_factory: GatewayFactory, topic: TopicFactory, cluster_id: str) -> None:
    name = await topic()
    gateway = await gateway_factory({"max.request.body.size": "2000000"})
    bomb = gzip.compress(b" " * 100_000_000)
    # Not out of proportion, but longer than a body may be.
    long = gzip.compress(bytes(range(48, 58)) * 10 + json.dumps(list(range(400_000))).encode())
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for path in (f"/topics/{name}", f"/v3/clusters/{cluster_id}/topics", "/graphql"):
            for body in (bomb, long):
                typed = {"content-type": "application/json", "content-encoding": "gzip"}
                assert (await client.post(path, content=body, headers=typed)).status_code == 413, path
        path = f"/v3/clusters/{cluster_id}/topics/{name}/records"
        response = await client.post(path, content=bomb, headers=typed)
        assert json.loads(response.text)["error_code"] == 413


async def test_a_compressed_stream_is_answered_as_it_comes(
    gateway: Gateway, topic: TopicFactory, connect: Connect, cluster_id: str
) -> None:
    connection = await connect(gateway)
    path = f"/v3/clusters/{cluster_id}/topics/{await topic()}/records"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    await connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    packer = zlib.compressobj(wbits=31)
    for number in range(3):
        data = packer.compress(b'{"value":{"type":"JSON","data":1}}') + packer.flush(zlib.Z_SYNC_FLUSH)
        await connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        assert b'"offset":%d' % number in await connection.until(b"}\n\r\n")
    await connection.send(b"5\r\nwrong\r\n")
    assert b'"error_code":400' in await connection.until(b"0\r\n\r\n")
