"""The `_schemas` topic: made if absent, replayed at start, appended to. Blocking; the store calls it from a thread."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_facade_devstack.registry import errors

TOPIC = "_schemas"
_READ_SECONDS = 10.0
_WRITE_SECONDS = 10.0
_REPLICAS = 3

Key = Mapping[str, Any]
Value = Mapping[str, Any] | None


class SchemaLog:
    """Reads and writes one topic of one partition; a record is acknowledged by all replicas before `append` returns."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        """`kafka`: the client settings, `bootstrap.servers` among them."""
        self._settings: dict[str, str | int | float] = {**kafka, "reconnect.backoff.max.ms": 200}
        self._producer = Producer(
            {
                **self._settings,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.timeout.ms": int(_WRITE_SECONDS * 1000),
            }
        )

    def create(self, deadline_seconds: float) -> bool:
        """Makes the topic unless it is there, waiting for Kafka; whether it was made. Raises KafkaException."""
        admin = AdminClient({**self._settings, "log_level": 0})
        end = time.monotonic() + deadline_seconds
        wanted = min(_REPLICAS, len(str(self._settings["bootstrap.servers"]).split(",")))
        while True:
            try:
                metadata = admin.list_topics(timeout=2)
            except KafkaException:
                if time.monotonic() > end:
                    raise
                continue
            # The first broker that starts does not know the others yet.
            if TOPIC in metadata.topics or len(metadata.brokers) >= wanted or time.monotonic() > end:
                break
            time.sleep(0.1)
        if TOPIC in metadata.topics:
            return False
        replicas = min(_REPLICAS, len(metadata.brokers))
        topic = NewTopic(TOPIC, 1, replicas, config={"cleanup.policy": "compact"})
        try:
            admin.create_topics([topic], request_timeout=_WRITE_SECONDS)[TOPIC].result(_WRITE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def replay(self) -> Iterator[tuple[Key, Value]]:
        """Yields every record from the first to the last that was there when the call began."""
        consumer = Consumer(
            {
                **self._settings,
                "group.id": "schema-registry",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign([TopicPartition(TOPIC, 0, 0)])
            while True:
                message = consumer.poll(_READ_SECONDS)
                if message is None:
                    raise errors.store_failed(f"no answer from {TOPIC} within {_READ_SECONDS:.0f} s")
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return
                if error is not None:
                    raise errors.store_failed(error.str())
                key, value = message.key(), message.value()
                if key is not None:
                    yield json.loads(key), None if value is None else json.loads(value)
        finally:
            consumer.close()

    def append(self, key: Key, value: Value) -> None:
        """Writes one record. Raises RegistryError 50001 if it is not acknowledged in time."""
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error.str())

        body = None if value is None else _encode(value)
        self._producer.produce(TOPIC, key=_encode(key), value=body, partition=0, on_delivery=delivered)
        if self._producer.flush(_WRITE_SECONDS) or failures:
            raise errors.store_failed("; ".join(failures) or "timed out")


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
