"""Errors on each face if the Schema Registry is unavailable or returns invalid responses."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from faces.conftest import FACES, Watched, watched_gateway
from faces.generic import FaceError
from hostile_registry import MIB, Answer, Peer, running, send
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack

pytestmark = pytest.mark.xdist_group("registry_answers")

Topic = Callable[..., Awaitable[str]]

MOST_HELD = 0.5
MOST_MEMORY = 200 * MIB
_SECONDS = 60
# A failure is remembered for a moment: each test asks for another schema.
IDS = itertools.count(1000)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """The registry of the gateway."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
async def to_peer(
    stack: BackgroundStack, peer: Peer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """A gateway whose registry is the peer, with a watch on its event loop."""
    report = tmp_path_factory.mktemp("watch") / "report.json"
    async with watched_gateway(stack, report, {"schema.registry.url": peer.url}) as watched:
        yield watched


AWAY_FOR_ALL = send({"error_code": 50001, "message": "away"}, 500)


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b'{"schema":"')
    while True:
        handler.wfile.write(b"x" * MIB)


def _drops(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def _silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(20)


def _hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def _graph(references: Callable[[int], list[tuple[int, int]]], format: str = "AVRO") -> Answer:
    """Schemas whose subjects are numbers, with their references: name and subject."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        parts = handler.path.split("/")
        number = int(parts[2]) if parts[1] == "subjects" else 0
        found = [{"name": f"r{name}", "subject": str(subject), "version": 1} for name, subject in references(number)]
        document = {"subject": str(number), "id": number + 1, "version": 1, "schema": '"int"', "references": found}
        send({**document, "schemaType": format})(handler)

    return answer


def _diamond(number: int) -> list[tuple[int, int]]:
    """A graph of references in which each of two schemas refers to both of the next two."""
    below = number // 2 * 2 + 2
    return [(below, below), (below + 1, below + 1)]


class Case(NamedTuple):
    """The response of the registry, the error for producers, and whether it is an error of the record."""

    answer: Answer
    error: type[FacadeError]
    blames_record: bool = False


AWAY = errors.SchemaRegistryUnavailable
NONE = errors.SchemaLookupFailed
BAD = errors.InvalidSchema
CASES: dict[str, Case] = {
    "redirect": Case(send({}, 302, location="http://127.0.0.1:1/schemas/ids/1"), AWAY),
    "compressed": Case(send(gzip.compress(b" " * 64 * MIB), content_encoding="gzip"), AWAY),
    "endless": Case(_endless, AWAY),
    "drops": Case(_drops, AWAY),
    "silent": Case(_silent, AWAY),
    "hangs up": Case(_hangs_up, AWAY),
    "page": Case(send(b"<html>", content_type="text/html"), AWAY),
    "page that says 404": Case(send(b"<html>", 404, content_type="text/html"), AWAY),
    "no leader": Case(send({"error_code": 50003, "message": "no leader"}, 500), AWAY),
    "too many requests": Case(send({"error_code": 42901, "message": "slow down"}, 429), AWAY),
    "nothing": Case(send(b""), AWAY),
    "wrong members": Case(send({"schema": 5}), AWAY),
    "deep JSON": Case(send(b"[" * MIB), AWAY),
    "no such schema": Case(send({"error_code": 40403, "message": "Schema not found\r\n\0"}, 404), NONE, True),
    "half of a surrogate pair": Case(
        send(b'{"error_code":40403,"message":"Schema \\ud800 not found"}', 404), NONE, True
    ),
    "code of half a pair": Case(send(b'{"error_code":"\\ud800","message":5}', 404), AWAY),
    "type of half a pair": Case(send(b'{"schema":"x","schemaType":"\\ud800"}'), BAD, True),
    "schema of half a pair": Case(send(b'{"schema":"\\"\\ud800\\""}'), BAD, True),
    "unknown type": Case(send({"schema": "x", "schemaType": "THRIFT"}), BAD, True),
    "broken schema": Case(send({"schema": "{"}), BAD, True),
    # The parser fails with another error than that of a schema.
    "size of an exponent": Case(
        send(
            {
                "schema": '{"type":"fixed","name":"D","logicalType":"decimal","precision":9,"size":1e308}',
            }
        ),
        BAD,
        True,
    ),
    "long schema": Case(send({"schema": '"' + "x" * 2 * MIB + '"'}), BAD, True),
    "references": Case(_graph(lambda n: [(m, m) for m in range(1, 10_000)] if n == 0 else []), BAD, True),
    "chain": Case(_graph(lambda n: [(n + 1, n + 1)]), BAD, True),
    "circle": Case(_graph(lambda n: [((n + 1) % 5, (n + 1) % 5 + 1)]), BAD, True),
    "diamonds without end": Case(_graph(_diamond), BAD, True),
    **{
        f"reference to {subject!r}": Case(
            send({"schema": '"int"', "references": [{"name": "a", "subject": subject, "version": 1}]}), BAD, True
        )
        for subject in ("..", "a/../../b", "a\nb", "a\0b", "")
    },
    **{
        f"reference as {name!r}": Case(
            send(
                {
                    "subject": "s",
                    "id": 1,
                    "version": 1,
                    "schemaType": "PROTOBUF",
                    "schema": 'syntax = "proto3"; message A {}',
                    "references": [{"name": name, "subject": "s", "version": 1}],
                }
            ),
            BAD,
            True,
        )
        for name in ("../a.proto", "/etc/passwd", "a\nb", "a\0b", "--plugin=x")
    },
}


class Unharmed:
    """Check that the worker's event loop is not blocked and its memory stays within limits."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._process = psutil.Process(watched.gateway.child.pid)

    async def __aenter__(self) -> None:
        self._before = self._process.memory_info().rss
        await self._watched.report()

    async def __aexit__(self, *error: object) -> None:
        seen = await self._watched.report()
        assert self._process.is_running()
        assert seen["longest_held"] < MOST_HELD, seen
        assert self._process.memory_info().rss - self._before < MOST_MEMORY


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_producing(to_peer: Watched, peer: Peer, cluster: str, topic: Topic, face_name: str, case: Case) -> None:
    name = await topic()
    face = FACES[face_name](to_peer.gateway)
    peer.answer = case.answer
    async with Unharmed(to_peer):
        with pytest.raises(FaceError) as caught:
            await face.produce_with_schema(cluster, name, {"schema_id": next(IDS), "data": 1})
    await face.close()
    if face_name == "rest":
        assert caught.value.codes[-1] == case.error.codes.v3, caught.value.message
    else:
        assert caught.value.codes == face.codes(case.error), caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_consuming(to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic, case: Case) -> None:
    """Errors that are not caused by the record fail the read."""
    name = await topic()
    value = b"\0" + next(IDS).to_bytes(4, "big") + b"\2"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, value, partition=0)
    producer.flush(30)
    gateway = to_peer.gateway
    peer.answer = case.answer
    async with Unharmed(to_peer):
        for read in (_consume, _events):
            shown, error = await read(gateway, name)
            if case.blames_record:
                assert shown == (value, True), (read, shown, error)
            else:
                assert error == (AWAY.codes.grpc, AWAY.reason)[read is _events], (read, shown, error)
                if read is _events:
                    assert shown == (value, False)
        status, body = await _v2(gateway, name)
        assert (status, body["error_code"]) == (408, 40801), body
        assert f"{name}-0 at offset 0" in body["message"]
        assert len(body["message"]) < 2000


async def test_records_with_a_known_schema_are_shown_beside_one_whose_schema_fails(
    to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic
) -> None:
    name = await topic()
    known, unknown = next(IDS), next(IDS)
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for schema_id in (known, unknown, known, unknown):
        producer.produce(name, b"\0" + schema_id.to_bytes(4, "big") + b"\x0e", partition=0)
    producer.flush(30)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        found = send([f"{name}-value"]) if "subjects" in handler.path else send({"schema": '"int"'})
        (AWAY_FOR_ALL if str(unknown) in handler.path else found)(handler)

    peer.answer = answer
    query = f"""subscription {{ records(topicName: "{name}", from: EARLIEST, follow: false) {{
      decodedValue {{ data }} }} }}"""
    shown: list[Any] = []
    async with httpx.AsyncClient(timeout=_SECONDS, headers={"accept": "text/event-stream"}) as client:
        for _ in range(2):
            found = await client.post(to_peer.gateway.graphql, json={"query": query})
            events = [json.loads(line[6:]) for line in found.text.splitlines() if line.startswith("data: {")]
            shown.append([record["decodedValue"] for event in events for record in event["data"]["records"]])
            errors = [error["extensions"]["code"] for event in events for error in event.get("errors", ())]
            assert errors == [AWAY.reason] * 2
    assert shown == [[{"data": 7}, None, {"data": 7}, None]] * 2


async def _consume(gateway: Any, topic: str) -> tuple[tuple[bytes, bool] | None, str | None]:
    """The bytes of the record and whether it has an error, or the status of the failed call."""
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        request = record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty(), decode_with_registry=True)
        try:
            async for frame in record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS):
                for record in frame.records:
                    return (record.value, record.HasField("value_error")), None
        except grpc.aio.AioRpcError as error:
            return None, error.code().name
    raise AssertionError("no record")


async def _events(gateway: Any, topic: str) -> tuple[tuple[bytes, bool], str | None]:
    """The same in GraphQL, with the code of the field's error."""
    query = """subscription ($topic: String!) {
      records(topicName: $topic, from: EARLIEST, follow: false) {
        value { base64 } decodedValue { data info { error } } } }"""
    body = {"query": query, "variables": {"topic": topic}}
    async with (
        httpx.AsyncClient(timeout=_SECONDS) as client,
        client.stream("POST", gateway.graphql, json=body, headers={"accept": "text/event-stream"}) as answer,
    ):
        async for line in answer.aiter_lines():
            if not line.startswith("data:") or not (event := line.removeprefix("data:").strip()):
                continue
            payload = json.loads(event)
            [record] = payload["data"]["records"]
            decoded = record["decodedValue"]
            blamed = decoded is not None and decoded["data"] is None and bool(decoded["info"]["error"])
            codes = [error["extensions"]["code"] for error in payload.get("errors", ())]
            return (base64.b64decode(record["value"]["base64"]), blamed), codes[0] if codes else None
    raise AssertionError("no record")


async def test_records_next_to_one_with_an_unavailable_schema(
    to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic
) -> None:
    """Earlier records are delivered, and records without a schema have no error."""
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for value in (b"plain0", b"\0" + next(IDS).to_bytes(4, "big") + b"\2", b"plain2"):
        producer.produce(name, value, partition=0)
    producer.flush(30)
    peer.answer = send({"error_code": 50003, "message": "no leader"}, 500)
    found: list[bytes] = []
    async with grpc.aio.insecure_channel(to_peer.gateway.grpc) as channel:
        request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), decode_with_registry=True)
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS)
        with suppress(grpc.aio.AioRpcError):
            async for frame in call:
                found += [record.value for record in frame.records]
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert found == [b"plain0"]
    query = """subscription ($topic: String!) {
      records(topicName: $topic, from: EARLIEST, follow: false) { decodedValue { data } } }"""
    body = {"query": query, "variables": {"topic": name}}
    records: list[Any] = []
    failed: list[int] = []
    async with (
        httpx.AsyncClient(timeout=_SECONDS, headers={"accept": "text/event-stream"}) as client,
        client.stream("POST", to_peer.gateway.graphql, json=body) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:") and (event := line.removeprefix("data:").strip()):
                payload = json.loads(event)
                failed += [len(records) + error["path"][1] for error in payload.get("errors", ())]
                records += payload["data"]["records"]
    assert records == [{"decodedValue": None}] * 3
    assert failed == [1]


async def _v2(gateway: Any, topic: str) -> tuple[int, Any]:
    kind = "application/vnd.kafka.v2+json"
    async with httpx.AsyncClient(timeout=_SECONDS, headers={"content-type": kind}) as client:
        settings = {"format": "avro", "auto.offset.reset": "earliest"}
        made = await client.post(f"{gateway.rest}/consumers/g-{uuid.uuid4().hex}", json=settings)
        instance = made.json()["base_uri"]
        place = {"topic": topic, "partition": 0}
        await client.post(f"{instance}/assignments", json={"partitions": [place]})
        await client.post(f"{instance}/positions/beginning", json={"partitions": [place]})
        accept = {"accept": "application/vnd.kafka.avro.v2+json"}
        async with asyncio.timeout(_SECONDS):
            # A read ends with nothing where the record takes long to come.
            while (answer := await client.get(f"{instance}/records", headers=accept)).text == "[]":
                pass
        await client.delete(instance)
    return answer.status_code, answer.json()


async def test_a_record_that_waits_for_the_registry_is_not_lost(
    to_peer: Watched, peer: Peer, cluster: str, stack: BackgroundStack, topic: Topic, face_name: str
) -> None:
    name = await topic()
    value = b"\0" + next(IDS).to_bytes(4, "big") + b"\2"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, value, partition=0)
    producer.flush(30)
    face = FACES[face_name](to_peer.gateway)
    group = f"g-{uuid.uuid4().hex}"
    await face.create_consumer(group, "i", format="AVRO", auto_offset_reset="earliest", request_timeout_ms="20000")
    await face.subscribe(group, "i", [name])
    for away in (CASES["no leader"], CASES["page"]):
        peer.answer = away.answer
        with pytest.raises(FaceError) as caught:
            await face.fetch(group, "i", "AVRO", 20_000)
        assert caught.value.codes == face.codes(AWAY, v2=True), caught.value.message
        # The failure is remembered for a moment.
        await asyncio.sleep(1.2)
    peer.answer = send({"schema": '"int"'})
    assert await face.fetch(group, "i", "AVRO", 20_000) == [(0, None, 1)]
    await face.delete_consumer(group, "i")
    await face.close()


@pytest.mark.parametrize(
    "subjects",
    [["\ud800"], ["a\0b\r\n"], ["x" * 3 * MIB], [str(n) for n in range(300_000)], [], ["ok", 5], {"a": 1}, None],
    ids=["half a pair", "controls", "long", "many", "none", "number", "object", "null"],
)
async def test_any_subjects(to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic, subjects: Any) -> None:
    """Records are returned with any names of subjects."""
    name = await topic()
    value = b"\0" + next(IDS).to_bytes(4, "big") + b"\2"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, value, partition=0)
    producer.flush(30)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(subjects if handler.path.endswith("/subjects") else {"schema": '"int"'})(handler)

    peer.answer = answer
    async with Unharmed(to_peer):
        query = """subscription ($topic: String!) {
          records(topicName: $topic, from: EARLIEST, follow: false) {
            decodedValue { data info { subject error } } } }"""
        [shown] = await _records(to_peer.gateway, name, query, set())
        assert (shown["decodedValue"]["data"], shown["decodedValue"]["info"]["error"]) == (1, None)
        async with grpc.aio.insecure_channel(to_peer.gateway.grpc) as channel:
            request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), decode_with_registry=True)
            frames = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS)
            assert [record.decoded_value.json async for frame in frames for record in frame.records] == ["1"]


async def test_diamonds(to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic) -> None:
    """There are 2^40 paths to the last schema; each schema is requested once."""
    name = await topic()
    peer.answer = _graph(lambda number: _diamond(number) if number < 80 else [])
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, b"\0" + next(IDS).to_bytes(4, "big") + b"\2", partition=0)
    producer.flush(30)
    asked = len(peer.asked)
    status, body = await _v2(to_peer.gateway, name)
    assert (status, [record["value"] for record in body]) == (200, [1])
    assert len(peer.asked) - asked < 100


async def test_many_records_do_not_wait_one_after_the_other(
    to_peer: Watched, peer: Peer, stack: BackgroundStack, topic: Topic
) -> None:
    """Each of 50 records has a schema of its own, and the registry answers none of them."""
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for _ in range(50):
        producer.produce(name, b"\0" + next(IDS).to_bytes(4, "big") + b"\2", partition=0)
    producer.flush(30)
    asked = len(peer.asked)
    peer.answer = _silent
    async with asyncio.timeout(_SECONDS):
        query = """subscription ($topic: String!) {
          records(topicName: $topic, from: EARLIEST, follow: false) { offset decodedValue { data } } }"""
        shown = await _records(to_peer.gateway, name, query, {AWAY.reason})
    assert len(shown) == 50
    assert len(peer.asked) - asked < 25


async def _records(gateway: Any, topic: str, query: str, codes: set[str]) -> list[Any]:
    body = {"query": query, "variables": {"topic": topic}}
    found: list[Any] = []
    async with (
        httpx.AsyncClient(timeout=_SECONDS) as client,
        client.stream("POST", gateway.graphql, json=body, headers={"accept": "text/event-stream"}) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:") and (event := line.removeprefix("data:").strip()):
                payload = json.loads(event)
                assert {error["extensions"]["code"] for error in payload.get("errors", ())} == codes, line[:300]
                found += payload["data"]["records"]
    return found


@pytest.mark.parametrize("answered", [{"version": 4}, {"id": 2**31}, {"id": -(2**40)}, {"version": None}])
async def test_a_response_about_another_schema(
    to_peer: Watched, peer: Peer, cluster: str, topic: Topic, face_name: str, answered: dict[str, Any]
) -> None:
    name = await topic()
    face = FACES[face_name](to_peer.gateway)
    peer.answer = send({"subject": "s", "version": 3, "id": next(IDS), "schema": '"int"', **answered})
    value = {"subject": f"s-{next(IDS)}", "schema_version": 3, "data": 1}
    with pytest.raises(FaceError) as caught:
        await face.produce_with_schema(cluster, name, value)
    await face.close()
    assert caught.value.codes[-1] == AWAY.codes.v3
    assert "returned an invalid response" in caught.value.message


async def test_a_subject_that_is_not_there_is_looked_up_once(to_peer: Watched, peer: Peer, topic: Topic) -> None:
    """Many records of one request ask for the same schema."""
    name = await topic()
    peer.asked.clear()
    peer.answer = send({"error_code": 40401, "message": "Subject not found"}, 404)
    record = record_pb2.RecordToProduce(value=record_pb2.RecordData(json="1", schema=record_pb2.SchemaSelector()))
    request = record_pb2.ProduceRecordsRequest(topic_name=name, records=[record] * 200)
    async with grpc.aio.insecure_channel(to_peer.gateway.grpc) as channel:
        answer = await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(request)
    assert [result.error.code for result in answer.results] == [grpc.StatusCode.FAILED_PRECONDITION.value[0]] * 200
    assert [f"{name}-value" in asked for asked in peer.asked] == [True]
