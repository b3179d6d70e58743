"""The interface to a Kafka client that the state needs besides consumers and administration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.groups.port import GroupPort
from kafka_facade.core.records.port import ConsumerFactory, ProducerPort
from kafka_facade.core.topics.port import AdminPort


class WriterLost(Exception):
    """The writer cannot be used any more: another one has taken over, or the outcome of a write is not known."""


class TransactionalWriter(Protocol):
    """Writes records to partition 0 of a topic, in transactions."""

    async def write(self, records: Mapping[str, bytes | None], timeout: float) -> int:
        """Write records in one transaction, and return the offset of the last one.

        Raises WriterLost if it is not certain that they are written, and KafkaAuthorizationFailed.
        """

    def serve(self) -> None:
        """Let the client report its errors; call it now and then."""

    async def close(self) -> None:
        """Free the client; a transaction that is open is aborted later. Never raises."""


class TransactionPort(Protocol):
    """Opens transactional writers."""

    async def open_writer(self, topic: str, transactional_id: str, timeout: float) -> TransactionalWriter:
        """Open the writer with this id; all earlier ones are fenced when it returns.

        Raises KafkaAuthorizationFailed, KafkaTimeout, and other errors of Kafka.
        """


class StateKafka(Protocol):
    """What the state uses of the gateway's own Kafka clients."""

    @property
    def admin(self) -> AdminPort:
        """Creates the topic."""

    @property
    def configs(self) -> ConfigPort:
        """Tells whether the topic is compacted."""

    @property
    def consumers(self) -> ConsumerFactory:
        """Reads the topic, and elects the leader."""

    @property
    def groups(self) -> GroupPort:
        """Tells the end of the topic."""

    @property
    def producer(self) -> ProducerPort:
        """Writes requests for the leader."""

    @property
    def transactions(self) -> TransactionPort:
        """Writes everything else."""
