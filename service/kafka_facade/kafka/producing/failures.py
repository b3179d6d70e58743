"""The errors of records that fail."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError, PartitionNotFound, RetriableKafkaError, TopicNotFound
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.errors import facade_error, from_exception
from kafka_facade.kafka.producing import refusals
from kafka_facade.kafka.producing.clients import Clients
from kafka_facade.kafka.producing.submissions import Batch


class Failures:
    """Turns reports of the clients into errors. ``on_missing`` is called with a topic that has to be looked up anew."""

    def __init__(self, clients: Clients, authentication: Authentication, on_missing: Callable[[str], None]) -> None:
        self._clients = clients
        self._authentication = authentication
        self._on_missing = on_missing
        # The last cause for which a record failed, and its error; while reports are taken.
        self._last: tuple[tuple[int, str, str], FacadeError] | None = None

    def of(self, batch: Batch, index: int, error: ClientError) -> FacadeError:
        """Return the error of a record of a batch."""
        client = self._clients.at(batch.client)
        record, topic = batch.records[index], batch.topic
        error = error if client is None else client.cause(error)
        if error.code() == ClientError._PURGE_QUEUE and self._authentication.refused:
            return self._authentication.failure
        if (verdict := refusals.verdict(record, error, topic)) is not None:
            return verdict
        failure = self._shared(error, topic)
        if isinstance(failure, (TopicNotFound, PartitionNotFound)):
            self._on_missing(topic)
            if isinstance(failure, PartitionNotFound) and record.partition is None:
                # The topic was recreated with fewer partitions after the partitioner chose one.
                return RetriableKafkaError("The partitions of the topic have changed.", topic_name=topic)
        return failure

    def of_call(self, topic: str, error: Exception) -> FacadeError:
        """Return the error of a record that a client did not accept."""
        failure = from_exception(error)
        if isinstance(failure, (TopicNotFound, PartitionNotFound)):
            self._on_missing(topic)
        return failure

    def forget(self) -> None:
        """Free the last error, once all reports are taken."""
        self._last = None

    def _shared(self, error: ClientError, topic: str) -> FacadeError:
        """Return the error of a record. Records that fail together share one, which saves most of the time."""
        cause = error.code(), error.str(), topic
        if self._last is None or self._last[0] != cause:
            self._last = cause, facade_error(error, topic_name=topic)
        return self._last[1]
