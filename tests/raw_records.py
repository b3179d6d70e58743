"""Records whose header names are not valid UTF-8, as some clients write them."""

import asyncio
from collections.abc import Sequence

from kafka import KafkaProducer  # type: ignore[attr-defined]  # not the tests of that name


class _RawName(str):
    """A name that kafka-python writes as these bytes."""

    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def _named(raw: bytes) -> str:
    name = _RawName(raw.decode("latin-1"))
    name.raw = raw
    return name


async def produce_with_headers(
    bootstrap_servers: str, topic: str, records: Sequence[Sequence[tuple[bytes, bytes]]]
) -> None:
    """Produce a record with the value `value-<n>` for each list of headers, to partition 0."""
    await asyncio.to_thread(_produce, bootstrap_servers, topic, records)


def _produce(bootstrap_servers: str, topic: str, records: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    try:
        for number, headers in enumerate(records):
            producer.send(
                topic,
                f"value-{number}".encode(),
                headers=[(_named(name), value) for name, value in headers],
                partition=0,
            )
        producer.flush(20)
    finally:
        producer.close()
