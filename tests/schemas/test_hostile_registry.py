"""Hostile responses of a Schema Registry, and names that could redirect requests."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from hostile_registry import MIB, Answer, Peer, running, send
from kafka_facade.core.errors import (
    DeserializationFailed,
    FacadeError,
    InvalidRequest,
    InvalidSchema,
    KafkaAuthorizationFailed,
    SchemaLookupFailed,
    SchemaRegistryUnavailable,
    Unavailable,
)
from kafka_facade.core.records import decoding
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.long_values import LongJson
from kafka_facade.core.records.model import Format, ReadFormats, Record, RecordData, SchemaSelector
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.schemas import registry_client
from kafka_facade.schemas.registry import SchemaRegistry
from loop_watch import watched

USER_INFO = "user:c@n/ary-41"


@pytest.fixture
def peer() -> Iterator[Peer]:
    with running() as server:
        yield server


@pytest.fixture
async def registry(peer: Peer) -> AsyncIterator[SchemaRegistry]:
    found = SchemaRegistry(peer.url, {"basic.auth.user.info": USER_INFO})
    yield found
    await found.close()


@pytest.mark.parametrize(
    "subject", ["..", ".", "../x", "x/..", "a/../b", "a/./b", "a\\..\\b", "", "a\nb", "\0", "x" * 3000]
)
async def test_a_subject_stays_in_its_path(peer: Peer, registry: SchemaRegistry, subject: str) -> None:
    for call in (
        registry.subject_version(subject, None, 5),
        registry.subject_version(subject, 1, 5),
        registry.version_of(subject, 1, 5),
        registry.register(subject, Format.AVRO, '"string"', 5),
    ):
        with pytest.raises(InvalidRequest, match="subject"):
            await call
    assert peer.asked == []


@pytest.mark.parametrize(
    ("subject", "path"),
    [
        ("a/b", "/subjects/a%2Fb/versions/1"),
        ("%2e%2e", "/subjects/%252e%252e/versions/1"),
        ("%2F..%2F", "/subjects/%252F..%252F/versions/1"),
        ("a?b#c d", "/subjects/a%3Fb%23c%20d/versions/1"),
        (":.context:topic-value", "/subjects/%3A.context%3Atopic-value/versions/1"),
        ("...", "/subjects/.../versions/1"),
        ("é", "/subjects/%C3%A9/versions/1"),
    ],
)
async def test_valid_and_invalid_subjects(peer: Peer, registry: SchemaRegistry, subject: str, path: str) -> None:
    peer.answer = send({"subject": "s", "version": 1, "id": 7, "schema": '"string"'})
    assert (await registry.subject_version(subject, 1, 5)).schema_id == 7
    assert peer.asked == [f"GET {path}?deleted=false"]


@pytest.mark.parametrize("schema_id", [-1, -(2**31), 0, 2**31 - 1])
async def test_the_id_of_a_record(peer: Peer, registry: SchemaRegistry, schema_id: int) -> None:
    peer.answer = send({"error_code": 40403, "message": "Schema not found"}, 404)
    with pytest.raises(SchemaLookupFailed, match="40403"):
        await registry.schema(schema_id, 5)
    assert peer.asked == [f"GET /schemas/ids/{schema_id}"]


@pytest.mark.parametrize(
    "reference",
    [
        {"name": "a", "subject": "..", "version": 1},
        {"name": "a", "subject": "../../x", "version": 1},
        {"name": "a", "subject": "s", "version": "../../../x"},
        {"name": "a", "subject": "s", "version": None},
        {"name": "a", "subject": "s", "version": 2**40},
        {"name": ["a"], "subject": "s", "version": 1},
        {"name": "a", "subject": {}, "version": 1},
        {"name": "a"},
        "a",
        5,
    ],
)
async def test_references_stay_in_their_url_path(peer: Peer, registry: SchemaRegistry, reference: Any) -> None:
    peer.answer = send({"schema": '"string"', "references": [reference]})
    with pytest.raises((InvalidSchema, SchemaLookupFailed)):
        await registry.schema(1, 5)
    assert peer.asked == ["GET /schemas/ids/1"]


@pytest.mark.parametrize("name", ["--python_out=/tmp", "@/etc/passwd", "../x.proto", "--plugin=protoc-gen-x=/bin/sh"])
async def test_names_of_references(peer: Peer, registry: SchemaRegistry, name: str) -> None:
    text = 'syntax = "proto3"; message A {}'

    def answer(handler: BaseHTTPRequestHandler) -> None:
        references = [] if "subjects" in handler.path else [{"name": name, "subject": "s", "version": 1}]
        document = {"id": 2, "version": 1, "schemaType": "PROTOBUF", "schema": text, "references": references}
        send(document)(handler)

    peer.answer = answer
    with pytest.raises(InvalidSchema, match="imported"):
        await registry.schema(1, 5)


@pytest.mark.parametrize(
    "document",
    [
        *(None, 5, [], "x", {}, b"", b"{", b"\xff", b"[" * 100_000, {"schema": 5}, {"schema": None}),
        *({"schema": '"string"', "schemaType": 5}, {"schema": '"string"', "references": 5}),
        {"schema": '"string"', "references": {"a": 1}},
    ],
)
async def test_invalid_responses(peer: Peer, registry: SchemaRegistry, document: Any) -> None:
    peer.answer = send(document)
    with pytest.raises(SchemaLookupFailed):
        await registry.schema(1, 5)


@pytest.mark.parametrize("member", [{"id": "7"}, {"id": None}, {"id": 2**31}, {"version": "1"}, {"id": True}])
async def test_invalid_versions(peer: Peer, registry: SchemaRegistry, member: dict[str, Any]) -> None:
    peer.answer = send({"subject": "s", "version": 1, "id": 7, "schema": '"string"', **member})
    for call in (
        registry.subject_version("s", None, 5),
        registry.subject_version("s", 1, 5),
        registry.version_of("s", 7, 5),
        registry.register("s", Format.AVRO, '"string"', 5),
    ):
        with pytest.raises(SchemaLookupFailed):
            await call


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_responses_have_a_size_limit(peer: Peer, registry: SchemaRegistry, status: int) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(b'{"schema":"')
        for _ in range(400):
            handler.wfile.write(b"x" * MIB)
            sent += 1

    peer.answer = endless
    with pytest.raises(SchemaLookupFailed, match="larger") as caught:
        await registry.schema(1, 5)
    assert len(caught.value.message) < 2000
    # What is on the way in the sockets, besides.
    assert sent < 60


async def test_compressed_responses_are_rejected(peer: Peer, registry: SchemaRegistry) -> None:
    peer.answer = send(gzip.compress(b" " * 64 * MIB), content_encoding="gzip")
    with pytest.raises(SchemaLookupFailed, match="compressed"):
        await registry.schema(1, 5)


def _chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1\r\n \r\n" * 10_000)


def _interim(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 103 \r\n\r\n" * 10_000)


def _headers(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(404)
    while True:
        handler.wfile.write(b"x: y\r\n" * 10_000)


_MEMBERS = b'{"schema":"\\"int\\"","error_code":40403,"message":"x"%s}' % b"".join(
    b',"%06x":1' % n for n in range(370_000)
)


def _parts(part: bytes) -> bytes:
    return b'{"schema":"\\"int\\"","more":[%s 1]}' % (part * (3 * MIB // len(part)))


@pytest.mark.parametrize(
    "answer",
    [
        *(_chunks, _interim, _headers),
        *(send(_MEMBERS, status) for status in (200, 404)),
        *(send(_parts(part), status) for part in (b"[],", b"1,", b'{"a":1},', b'"",') for status in (200, 404)),
        send(b'{"schema":"%s"}' % (b'\\"' * MIB)),
        send(b'{"references":[%s{}]}' % (b"{}," * MIB)),
        send(b'["a"%s]' % (b',"a"' * (MIB - 10))),
    ],
)
async def test_a_response_does_not_block_the_event_loop(peer: Peer, registry: SchemaRegistry, answer: Answer) -> None:
    """The client reads answers on the event loop."""
    peer.answer = answer
    longest = []
    # Of several runs the quietest is the one that others on the machine disturbed least.
    for schema_id in range(3):
        busy = time.thread_time()
        async with watched() as watch:
            with suppress(SchemaLookupFailed, InvalidSchema):
                await registry.schema(schema_id, 5)
        # Nor do the pieces together take long.
        assert time.thread_time() - busy < 1
        longest.append(watch.longest_busy)
    assert min(longest) < 0.05


async def test_unused_members_are_skipped(peer: Peer, registry: SchemaRegistry) -> None:
    peer.answer = send(_MEMBERS)
    assert (await registry.schema(1, 5)).encode(1) == b"\2"


async def test_cookies_are_ignored(peer: Peer, registry: SchemaRegistry) -> None:
    sent: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["cookie"])
        send({"error_code": 40403, "message": "x"}, 404, set_cookie=f"a{len(sent)}=1; Max-Age=99999")(handler)

    peer.answer = answer
    for schema_id in range(3):
        with pytest.raises(SchemaLookupFailed, match="40403"):
            await registry.schema(schema_id, 5)
    assert sent == [None] * 3


@pytest.mark.parametrize("status", [400, 404, 422, 500])
@pytest.mark.parametrize(
    "document",
    [
        *({"error_code": code, "message": "said"} for code in (10**400, 2**31, 0, -1, None, "40403", 40403.0, True)),
        *({"error_code": 42201, "message": message} for message in (None, 5, {"said": "said"}, ["said"])),
        *({"error_code": 10**400, "message": None}, {"error_code": 40403}, {"message": "said"}, {}, [], None),
    ],
)
async def test_errors_that_do_not_match_the_api(
    peer: Peer, registry: SchemaRegistry, document: Any, status: int
) -> None:
    peer.answer = send(document, status)
    with pytest.raises(SchemaRegistryUnavailable, match="invalid response") as caught:
        await registry.schema(1, 5)
    assert caught.value.message.endswith(f"status {status} without a valid error code and message")


async def test_a_long_message_is_truncated(peer: Peer, registry: SchemaRegistry) -> None:
    peer.answer = send({"error_code": 40403, "message": "x" * 60_000}, 404)
    with pytest.raises(SchemaLookupFailed, match="40403") as caught:
        await registry.schema(1, 5)
    assert len(caught.value.message) < 2000
    peer.answer = send(b"\xff" * 60_000, 404)
    with pytest.raises(SchemaLookupFailed) as caught:
        await registry.schema(2, 5)
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_credentials_are_redacted_in_errors(peer: Peer, registry: SchemaRegistry, status: int) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        told = f"{handler.headers['authorization']} {USER_INFO} and {USER_INFO.partition(':')[2]} came"
        send({"error_code": 50001, "message": told}, status)(handler)

    peer.answer = answer
    for look_up in (registry.schema(1, 5), registry.register("s", Format.AVRO, '"string"', 5)):
        with pytest.raises(FacadeError) as caught:
            await look_up
        assert "came" in caught.value.message
        assert peer.credentials[-1] is not None
        assert peer.credentials[-1].partition(" ")[2] not in caught.value.message
        assert USER_INFO.partition(":")[2] not in caught.value.message


QUOTING: list[Callable[[str], dict[str, Any]]] = [
    lambda secret: {"schema": '"int"', "schemaType": secret},
    lambda secret: {"schema": json.dumps({"type": secret})},
    lambda secret: {"schema": json.dumps({"type": "record", "name": "R", "fields": [secret]})},
    lambda secret: {"schema": f'syntax = "proto3"; message A {{ {secret} x = 1; }}', "schemaType": "PROTOBUF"},
    lambda secret: {"schema": '"int"', "references": [{"name": "a", "subject": f"../{secret}", "version": 1}]},
    lambda secret: {"schema": json.dumps({"type": secret}), "schemaType": "JSON"},
]


@pytest.mark.parametrize("quoting", QUOTING)
async def test_credentials_are_redacted_in_errors_of_schemas(
    peer: Peer, registry: SchemaRegistry, quoting: Callable[[str], dict[str, Any]]
) -> None:
    secret = USER_INFO.partition(":")[2]
    peer.answer = send(quoting(secret))
    with pytest.raises(InvalidSchema) as caught:
        await registry.schema(1, 30)
    assert secret not in caught.value.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(peer: Peer, registry: SchemaRegistry, status: int) -> None:
    with running() as other:
        other.answer = send({"schema": '"string"'})
        peer.answer = send({}, status, location=f"{other.url}/x")
        with pytest.raises(SchemaLookupFailed):
            await registry.schema(1, 5)
        with pytest.raises(SchemaLookupFailed):
            await registry.register("s", Format.AVRO, '"string"', 5)
        assert other.asked == []
    assert peer.credentials[0] is not None


async def test_the_total_size_of_references_is_limited(peer: Peer, registry: SchemaRegistry) -> None:
    """Each refers to the next: what they are in all is bounded, not only each."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        count = len(peer.asked)
        reference = {"name": f"r{count}", "subject": f"s{count}", "version": 1}
        send({"id": count, "version": 1, "schema": '"' + "x" * 300_000 + '"', "references": [reference]})(handler)

    peer.answer = answer
    with pytest.raises(InvalidSchema, match="longer than"):
        await registry.schema(1, 5)
    assert len(peer.asked) < 6


async def test_a_slow_response_times_out(peer: Peer, registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "_ANSWER_SECONDS", 1.0)

    def drops(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(300):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    peer.answer = drops
    with pytest.raises(SchemaLookupFailed, match="doesn't respond"):
        await registry.schema(1, 0.5)
    # Other queued requests do not wait until their timeout if the registry does not respond.
    started = time.monotonic()
    found = await asyncio.gather(*(registry.schema(id, 25) for id in range(2, 60)), return_exceptions=True)
    assert {type(error) for error in found} == {SchemaRegistryUnavailable}
    assert time.monotonic() - started < 15


async def test_queueing_does_not_count_as_an_unavailable_registry(peer: Peer, registry: SchemaRegistry) -> None:
    """Each answer takes 0.3 s: some get theirs, others run out of time behind them."""

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        send({"schema": '"string"'})(handler)

    peer.answer = slow
    found = await asyncio.gather(*(registry.schema(id, 1.2) for id in range(120)), return_exceptions=True)
    failed = [error for error in found if isinstance(error, BaseException)]
    assert 0 < len(failed) < 120
    # The first to be asked did not have to wait: theirs may be too late on a busy machine.
    assert {type(error) for error in found[16:] if isinstance(error, BaseException)} == {Unavailable}
    # Nothing of that is remembered as a failure.
    peer.answer = send({"schema": '"string"'})
    await asyncio.gather(*(registry.schema(id, 20) for id in range(16, 120)))


def _of_schema(schema_id: int) -> Record:
    return Record("t", 0, 7, None, [], None, b"\0" + schema_id.to_bytes(4, "big") + b"\x18")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (send({"error_code": 50001, "message": "no leader"}, 500), SchemaLookupFailed),
        (send({"error_code": 40301, "message": "not you"}, 403), KafkaAuthorizationFailed),
        (send(b"<html>"), SchemaLookupFailed),
    ],
)
async def test_an_unavailable_registry_does_not_make_records_undecodable(
    peer: Peer, registry: SchemaRegistry, answer: Answer, error: type[Exception]
) -> None:
    reading = Decoding(Schemas(registry))
    peer.answer = answer
    with pytest.raises(error):
        await reading.strictly(Format.AVRO, _of_schema(1))
    with pytest.raises(error):
        await reading.record(ReadFormats(None, None), _of_schema(2))
    # Once it does, the same bytes are read.
    peer.answer = send({"schema": '"long"'})
    assert (await reading.strictly(Format.AVRO, _of_schema(3))).value == 12


@pytest.mark.parametrize(
    "answer",
    [
        send({"error_code": 40403, "message": "Schema not found"}, 404),
        send({"schema": "{"}),
        send({"schema": '"null"', "schemaType": "JSON"}),
        send({"schema": '{"type":"array","items":"long"}'}),
    ],
)
async def test_an_undecodable_record_is_an_error_of_the_record(
    peer: Peer, registry: SchemaRegistry, answer: Answer
) -> None:
    reading = Decoding(Schemas(registry))
    peer.answer = answer
    with pytest.raises(DeserializationFailed, match="VALUE for partition t-0 at offset 7"):
        await reading.strictly(Format.AVRO, _of_schema(1))
    found = await reading.record(ReadFormats(None, Format.AVRO), _of_schema(2))
    assert found.value_info is not None
    assert found.value_info.error


async def test_a_busy_gateway_does_not_make_records_undecodable(
    peer: Peer, registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = Schemas(registry)
    reading = Decoding(schemas)
    peer.answer = send({"schema": '"bytes"'})
    size = 3 * MIB
    # A long in Avro: zigzag, seven bits a byte.
    number, length = size * 2, bytearray()
    while number > 127:
        length.append(number & 127 | 128)
        number >>= 7
    length.append(number)
    large = Record("t", 0, 7, None, [], None, b"\0\0\0\0\1" + bytes(length) + b"x" * size)
    found = (await reading.strictly(Format.AVRO, large)).value
    assert isinstance(found, LongJson)
    assert found.text == b'"%b"' % (b"x" * size)
    monkeypatch.setattr(decoding, "_SCHEMA_SECONDS", 0.2)
    release = threading.Event()
    threads = schemas._threads[Format.AVRO]
    busy = [asyncio.create_task(threads.run(release.wait, wait=5, limit=60)) for _ in range(2)]
    await asyncio.sleep(0)
    try:
        for read in (reading.strictly(Format.AVRO, large), reading.record(ReadFormats(None, None), large)):
            with pytest.raises(Unavailable):
                await read
    finally:
        release.set()
        await asyncio.gather(*busy)
    found = (await reading.strictly(Format.AVRO, large)).value
    assert isinstance(found, LongJson)
    assert found.text == b'"%b"' % (b"x" * size)


async def test_a_slow_schema_fails_before_the_deadline_of_the_call(registry: SchemaRegistry) -> None:
    """After the deadline, the call would fail with an error of Kafka."""
    ranges = ",".join(str(2 * n + 1) for n in range(60_000))
    schema = SchemaSelector(schema=f'syntax = "proto3"; message A {{ reserved {ranges}; }}')
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="schema"):
            await Schemas(registry).serialize("t", "value", RecordData(Format.PROTOBUF, {}, schema), 1, {})
