"""Measure the gateway on a development stack of its own, beside the limits in the same run.

scripts/bench [--seconds 5] [--warm-up 30] [--connections 32] [--size 100] [--only WORD] [--memory RECORDS]
              [--instances COUNT]

The limits are a bare Kafka client and an empty handler on the same HTTP server. The CPU time is per record, of all
threads of the gateway. The figures of one run compare; those
of two runs, or of two machines, do not: the load, the gateway and Kafka share this machine's cores. HTTP load comes
from wrk where it is installed, and else from Python, which costs more. Set-up: scripts/setup bench, then
.venv/bin/python scripts/bench
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc.aio
import psutil
import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition
from google.protobuf.empty_pb2 import Empty
from http_load import EmptyServer, HttpConnection, load, post
from instances import measure_instances
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

PARTITIONS = 4
READ_RECORDS = 1_000_000
V2_JSON = "application/vnd.kafka.json.v2+json"

Case = Callable[[], Awaitable[tuple[int, float]]]


class Bench:
    """The cases, each of which returns how many records it moved and in how many seconds."""

    def __init__(self, stack: BackgroundStack, gateway: Gateway, options: argparse.Namespace) -> None:
        self.stack, self.gateway, self.options = stack, gateway, options
        self.topic = "bench"
        self.read_topic = "bench-read"
        self.records = f"/v3/clusters/{stack.cluster_id}/topics/{self.topic}/records"
        self.value = "x" * options.size
        self.latencies: list[float] = []

    async def prepare(self) -> None:
        connection = await HttpConnection.open(self.gateway.rest)
        for topic in (self.topic, self.read_topic):
            body = json.dumps({"topic_name": topic, "partitions_count": PARTITIONS}).encode()
            await connection.send(post(f"/v3/clusters/{self.stack.cluster_id}/topics", body))
        connection.close()

    async def fill(self) -> None:
        """The topic to read, whose values are JSON."""

        def run() -> None:
            settings = {"bootstrap.servers": self.stack.bootstrap_servers, "linger.ms": 5}
            producer = Producer(settings)
            payload = json.dumps("x" * (self.options.size - 2)).encode()
            for number in range(READ_RECORDS):
                while len(producer) >= 50_000:
                    producer.poll(0.1)
                producer.produce(self.read_topic, payload, partition=number % PARTITIONS)
            producer.flush()

        await asyncio.to_thread(run)

    async def warm_up(self, case: Case, for_seconds: float = 1) -> None:
        """Run a case for a while: a broker compiles what it does often, on the cores that all of this shares."""
        seconds, self.options.seconds = self.options.seconds, for_seconds
        await case()
        self.options.seconds = seconds

    async def bare_produce(self) -> tuple[int, float]:
        def run() -> tuple[int, float]:
            settings = {"bootstrap.servers": self.stack.bootstrap_servers, "queue.buffering.max.messages": 1_000_000}
            producer = Producer(settings)
            acknowledged = 0

            def report(error: object, message: object) -> None:
                nonlocal acknowledged
                acknowledged += error is None

            payload = self.value.encode()
            started = time.perf_counter()
            while time.perf_counter() - started < self.options.seconds:
                for _ in range(1000):
                    try:
                        producer.produce(self.topic, payload, on_delivery=report)
                    except BufferError:
                        producer.poll(0.01)
                producer.poll(0)
            producer.flush()
            return acknowledged, time.perf_counter() - started

        return await asyncio.to_thread(run)

    async def lone(self) -> tuple[int, float]:
        connection = await HttpConnection.open(self.gateway.rest)
        request = post(self.records, json.dumps({"value": {"type": "STRING", "data": self.value}}).encode())
        self.latencies = []
        started = time.perf_counter()
        while (begun := time.perf_counter()) - started < self.options.seconds:
            assert b'"error_code":200' in await connection.send(request)
            self.latencies.append(time.perf_counter() - begun)
        connection.close()
        return len(self.latencies), time.perf_counter() - started

    async def empty(self) -> tuple[int, float]:
        async with EmptyServer() as url:
            return await load(url, self._v2_body(1), V2_JSON, self.options.connections, self.options.seconds)

    async def rest_v3(self) -> tuple[int, float]:
        body = json.dumps({"value": {"type": "STRING", "data": self.value}})
        return await self._load(self.records, body, "application/json", 1)

    async def rest_v2(self, count: int) -> tuple[int, float]:
        return await self._load(f"/topics/{self.topic}", self._v2_body(count), V2_JSON, count)

    def _v2_body(self, count: int) -> str:
        return json.dumps({"records": [{"value": self.value}] * count})

    async def graphql(self) -> tuple[int, float]:
        query = "mutation($i: ProduceRecordsInput!) { produceRecords(input: $i) { results { __typename } } }"
        record = {"value": {"format": "STRING", "data": self.value}}
        body = {"query": query, "variables": {"i": {"topicName": self.topic, "records": [record]}}}
        return await self._load("/graphql", json.dumps(body), "application/json", 1)

    async def _load(self, path: str, body: str, content_type: str, records: int) -> tuple[int, float]:
        url = self.gateway.rest + path
        sent, seconds = await load(url, body, content_type, self.options.connections, self.options.seconds)
        return sent * records, seconds

    async def rest_stream(self, limit: int | None = None) -> tuple[int, float]:
        """One request that goes on for the time given, or for so many records."""
        host, _, port = self.gateway.rest.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**26)
        record = json.dumps({"value": {"type": "STRING", "data": self.value}}).encode() + b"\n"
        chunk = record * 500
        head = f"POST {self.records} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        started = time.perf_counter()

        async def send() -> None:
            sent = 0
            while sent < limit if limit else time.perf_counter() - started < self.options.seconds:
                sent += 500
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")

        sender = asyncio.create_task(send())
        answered = 0
        async with asyncio.timeout(600 if limit else self.options.seconds + 30):
            while not (data := await reader.readuntil(b"\r\n")).startswith(b"0\r\n"):
                answered += data.count(b'"error_code":200')
        await sender
        writer.close()
        return answered, time.perf_counter() - started

    def _record(self) -> record_pb2.RecordToProduce:
        return record_pb2.RecordToProduce(value=record_pb2.RecordData(text=self.value))

    async def grpc_unary(self) -> tuple[int, float]:
        async with grpc.aio.insecure_channel(self.gateway.grpc) as channel:
            stub = record_pb2_grpc.RecordServiceStub(channel)
            request = record_pb2.ProduceRecordsRequest(topic_name=self.topic, records=[self._record()])
            started = time.perf_counter()

            async def caller() -> int:
                sent = 0
                while time.perf_counter() - started < self.options.seconds:
                    answer = await stub.ProduceRecords(request)
                    assert answer.results[0].HasField("report")
                    sent += 1
                return sent

            sent = sum(await asyncio.gather(*(caller() for _ in range(self.options.connections))))
            return sent, time.perf_counter() - started

    async def grpc_stream(self, count: int) -> tuple[int, float]:
        async with grpc.aio.insecure_channel(
            self.gateway.grpc, options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            stub = record_pb2_grpc.RecordServiceStub(channel)
            frame = record_pb2.ProduceStreamRequest(
                records=record_pb2.ProduceStreamRecords(records=[self._record()] * count)
            )
            started = time.perf_counter()

            async def frames() -> AsyncIterator[record_pb2.ProduceStreamRequest]:
                yield record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=self.topic))
                while time.perf_counter() - started < self.options.seconds:
                    yield frame

            answered = 0
            async for answer in stub.ProduceStream(frames()):
                answered += len(answer.results)
            return answered, time.perf_counter() - started

    async def bare_consume(self) -> tuple[int, float]:
        def run() -> tuple[int, float]:
            settings = {
                "bootstrap.servers": self.stack.bootstrap_servers,
                "group.id": "bench",
                "queued.min.messages": 200_000,
                "fetch.queue.backoff.ms": 5,
            }
            consumer = Consumer(settings)
            consumer.assign([TopicPartition(self.read_topic, partition, 0) for partition in range(PARTITIONS)])
            started = time.perf_counter()
            read = 0
            while read < READ_RECORDS and (messages := consumer.consume(1000, timeout=5)):
                read += len(messages)
            elapsed = time.perf_counter() - started
            consumer.close()
            return read, elapsed

        return await asyncio.to_thread(run)

    async def grpc_consume(self) -> tuple[int, float]:
        async with grpc.aio.insecure_channel(
            self.gateway.grpc, options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            stub = record_pb2_grpc.RecordServiceStub(channel)
            request = record_pb2.ConsumeRequest(topic_name=self.read_topic, earliest=Empty())
            started = time.perf_counter()
            read = 0
            stream = stub.Consume(request)
            async for answer in stream:
                read += len(answer.records)
                if read >= READ_RECORDS:
                    stream.cancel()
                    break
            return read, time.perf_counter() - started

    async def rest_consume(self, format: str) -> tuple[int, float]:
        connection = await HttpConnection.open(self.gateway.rest)
        v2 = "application/vnd.kafka.v2+json"
        settings = {"format": format, "auto.offset.reset": "earliest", "fetch.min.bytes": 1_000_000}
        group = f"/consumers/bench-{format}"
        created = json.loads(await connection.send(post(group, json.dumps(settings).encode(), v2)))
        path = f"{group}/instances/{created['instance_id']}"
        body = json.dumps({"topics": [self.read_topic]}).encode()
        await connection.send(post(path + "/subscription", body, v2))
        accept = f"application/vnd.kafka.{format}.v2+json"
        query = "/records?timeout=1000&max_bytes=1000000"
        request = f"GET {path}{query} HTTP/1.1\r\nhost: bench\r\naccept: {accept}\r\n\r\n".encode()
        started = time.perf_counter()
        read = 0
        while read < READ_RECORDS and time.perf_counter() - started < 60:
            read += (await connection.send(request)).count(b'"offset":')
        elapsed = time.perf_counter() - started
        await connection.send(f"DELETE {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
        connection.close()
        return read, elapsed

    async def subscription(self) -> tuple[int, float]:
        document = (
            "subscription($topic: String!) "
            "{ records(topicName: $topic, from: EARLIEST) { partitionId offset key { text } value { text } } }"
        )
        payload = {"query": document, "variables": {"topic": self.read_topic}}
        url = self.gateway.graphql.replace("http", "ws")
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], max_size=None) as socket:
            await socket.send('{"type":"connection_init"}')
            await socket.recv()
            started = time.perf_counter()
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            read = 0
            while read < READ_RECORDS and time.perf_counter() - started < 60:
                read += str(await socket.recv()).count('"offset":')
            return read, time.perf_counter() - started

    def process(self) -> psutil.Process:
        """The gateway's process."""
        [found] = [p for p in psutil.Process().children(recursive=True) if p.cmdline()[3:4] == ["serve"]]
        return found

    async def memory(self, records: int) -> list[int]:
        """The gateway's resident memory (MB) before one streaming request, each second of it, and after it."""
        gateway = self.process()
        found = [gateway.memory_info().rss]
        request = asyncio.create_task(self.rest_stream(records))
        while not request.done():
            await asyncio.wait({request}, timeout=1)
            found.append(gateway.memory_info().rss)
        await request
        return [rss >> 20 for rss in found]


def cpu_seconds(process: psutil.Process) -> float:
    """The CPU time that a process has used."""
    times = process.cpu_times()
    return times.user + times.system


async def measure(bench: Bench, only: str) -> None:
    connections = bench.options.connections
    bare, empty = "bare Kafka client", f"empty HTTP handler, {connections} connections"
    tables: dict[str, dict[str, tuple[Case, str]]] = {
        "producing": {
            bare: (bench.bare_produce, bare),
            empty: (bench.empty, empty),
            "REST v3, 1 record a request, 1 connection": (bench.lone, empty),
            f"REST v3, 1 record a request, {connections} connections": (bench.rest_v3, empty),
            f"REST v2, 1 record a request, {connections} connections": (lambda: bench.rest_v2(1), empty),
            f"GraphQL, 1 record a request, {connections} connections": (bench.graphql, empty),
            f"gRPC ProduceRecords, 1 record, {connections} calls": (bench.grpc_unary, empty),
            f"REST v2, 100 records a request, {connections} connections": (lambda: bench.rest_v2(100), bare),
            "REST v3 stream, 1 connection": (bench.rest_stream, bare),
            "gRPC ProduceStream, 1 record a frame": (lambda: bench.grpc_stream(1), bare),
            "gRPC ProduceStream, 100 records a frame": (lambda: bench.grpc_stream(100), bare),
            "gRPC ProduceStream, 1000 records a frame": (lambda: bench.grpc_stream(1000), bare),
        },
        "consuming": {
            bare: (bench.bare_consume, bare),
            "gRPC Consume": (bench.grpc_consume, bare),
            "REST v2 consumer instance, binary, 1 MB a read": (lambda: bench.rest_consume("binary"), bare),
            "REST v2 consumer instance, JSON, 1 MB a read": (lambda: bench.rest_consume("json"), bare),
            "GraphQL subscription, 4 fields": (bench.subscription, bare),
        },
    }
    console = Console(width=120)
    gateway = bench.process()
    await bench.warm_up(lambda: bench.rest_v2(1), bench.options.warm_up)
    for title, cases in tables.items():
        needed = {limit for name, (_, limit) in cases.items() if name != limit and only in name}
        if not needed:
            continue
        if title == "consuming":
            await bench.fill()
        columns = ("case", "per second", "ratio", "of", "gateway's CPU, µs")
        table = Table(*columns, title=f"{title}, {bench.options.size}-byte records")
        rates: dict[str, float] = {}
        for name, (case, limit) in cases.items():
            if name not in needed and (name == limit or only not in name):
                continue
            if title == "producing":
                await bench.warm_up(case)
            before = cpu_seconds(gateway)
            records, seconds = await case()
            used = cpu_seconds(gateway) - before
            rates[name] = records / seconds
            of = "" if name == limit else limit.split(",")[0]
            cost = "" if name == limit else f"{used / records * 1e6:.2f}"
            table.add_row(name, f"{rates[name]:,.0f}", f"{rates[name] / rates[limit]:.2f}", of, cost)
        console.print(table)
    if bench.latencies:
        percentiles = statistics.quantiles(bench.latencies, n=100)
        console.print(
            f"a lone REST v3 request: median {percentiles[49] * 1000:.2f} ms, p99 {percentiles[98] * 1000:.2f} ms"
        )
    if bench.options.memory:
        sizes = await bench.memory(bench.options.memory)
        console.print(
            f"resident memory over one request of {bench.options.memory:,} records: {sizes[0]} MB before,"
            f" {sizes[len(sizes) // 2]} in the middle, {sizes[-1]} at the end, {max(sizes)} at the most"
        )


async def hold_instances(bench: Bench) -> None:
    """What many consumer instances cost, from one to as many as are asked for."""
    counts = [count for count in (1, 100) if count < bench.options.instances] + [bench.options.instances]
    where = (bench.gateway.rest, bench.process(), bench.topic, PARTITIONS, counts)
    Console(width=180).print(await measure_instances(*where))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5, help="how long each case produces")
    parser.add_argument("--warm-up", type=float, default=30, help="seconds of small requests before the first case")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--only", default="", help="only the cases with this in their name, beside the limits")
    parser.add_argument("--memory", type=int, default=0, help="stream so many records and show the memory")
    parser.add_argument(
        "--instances", type=int, default=0, help="only hold so many consumer instances and show what they cost"
    )
    options = parser.parse_args()
    stack = BackgroundStack(1)
    stack.start()
    try:
        many = {"idle.timeout.ms": "600000"}
        gateway = await stack.start_gateway(many if options.instances else {})
        bench = Bench(stack, gateway, options)
        await bench.prepare()
        if options.instances:
            await hold_instances(bench)
        else:
            await measure(bench, options.only)
        await stack.stop_gateway(gateway)
    finally:
        stack.stop()


if __name__ == "__main__":
    uvloop.run(main())
