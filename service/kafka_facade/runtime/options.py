"""Options of the process."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import one_of, seconds, size


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Process."""

    shutdown_seconds: float = setting("shutdown.timeout.ms", "30000", seconds(1000))
    """Maximum time after SIGTERM or SIGINT to finish requests in progress; then the process is stopped.

    The REST port refuses connections within half a second, and requests queued by then are still answered. If native
    code spins without releasing the interpreter lock, the process cannot handle signals. It then exits by itself with
    status 27, and the stack of each thread on standard error, after using this much processor time (at least half a
    second for each processor). If native code blocks forever while it holds the lock, another process ends it: the
    supervisor of several ``workers`` or, on Linux, a small process that watches a single one.
    """

    memory_limit: int = setting("memory.max.bytes", "0", size(0))
    """Memory that all ``workers`` together may use, on Linux: at least 128 MiB for each. 0 means 80 % of what the
    machine or the container has.

    A worker that uses more than its share rejects new calls (429, ``RESOURCE_EXHAUSTED``) and cuts off requests that
    have been arriving for more than a second, until it uses less. After them it cuts off the clients that hold the most
    memory with large responses that they take slowly. Streams of gRPC requests, which may be pausing, are cut off last,
    and streamed REST requests only within a record. Produce streams with answers that their callers have not read for a
    second are cut off too.
    """

    requests_memory: int = setting("memory.requests.max.bytes", "0", size(0))
    """Memory of each worker for the large requests that it is processing, by an estimate; and as much again for large
    responses of GraphQL that it is building, and for the unanswered records of produce streams. 0 means a quarter of
    the worker's share of ``memory.max.bytes``, at most 128 MiB.

    Further ones wait until earlier ones are done, and are rejected (429, ``RESOURCE_EXHAUSTED``) after 30 s. Those of
    one connection get at most half of it. A request that needs more than all of it runs alone. Requests that wait for
    Kafka or their caller for more than a second count apart, up to twice as much; after that, produce requests for a
    partition whose broker hangs are rejected at once (503, ``UNAVAILABLE``). Besides it, a sixteenth is reserved
    for small requests (up to 1/64 each) that would have to wait.
    """

    outgoing_memory: int = setting("memory.responses.max.bytes", "0", size(0))
    """Memory of each worker for responses of more than 256 KiB (records, fetches, lists, GraphQL) while they are
    encoded and sent, by an estimate: up to four times their bytes. 0 means a quarter of the worker's share of
    ``memory.max.bytes``, at least 128 MiB.

    Further ones wait, streams for as long as it takes, and others for up to 30 s (429, ``RESOURCE_EXHAUSTED``). When
    one has waited for 3 s, the client that has been taking a large response the longest is cut off, unless it reads 8
    MiB of records per second. A gRPC call ends with ``RESOURCE_EXHAUSTED``, or its connection ends, as those of HTTP
    and websockets do. Nothing is committed of what it has not received. A connection gets at most half of the memory. A
    response that needs more than half of it is sent alone, beside smaller ones.
    """

    workers: int = shared.WORKERS.field()

    log_level: str = setting("log.level", "info", one_of("debug", "info", "warning", "error"))
    """Level of the log on standard error."""
