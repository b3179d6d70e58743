"""The transactional writer of one partition, which fences all earlier ones with its id (KIP-98)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, Message
from confluent_kafka import Producer as ClientProducer

from kafka_facade.core.errors import FacadeError, KafkaAuthorizationFailed
from kafka_facade.core.state.port import WriterLost
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.blocking import Blocking, positive
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.owned import Owned
from kafka_facade.kafka.settings import roles

_PARTITION: Final = 0
_LINGER_ALIAS: Final = "queue.buffering.max.ms"
_SETTINGS: Final[dict[str, Any]] = {
    # What transactions need. It overrides the producer's settings.
    "acks": "all",
    "enable.idempotence": True,
    "retries": 2**31 - 1,
    "max.in.flight.requests.per.connection": 5,
    # Readers wait for an open transaction, so that of a writer that has died must end soon.
    "transaction.timeout.ms": 10_000,
    "message.timeout.ms": 8_000,
    # The client rejects one that is longer than the timeout.
    "linger.ms": 0,
}
_RETRY_SECONDS: Final = 0.1


class Transactions:
    """Opens writers with the settings of the producer."""

    def __init__(
        self,
        bootstrap_servers: str,
        given: Mapping[str, Any],
        connecting: Blocking,
        control: Blocking,
        closing: Blocking,
    ) -> None:
        used = {name: value for name, value in given.items() if name != _LINGER_ALIAS}
        self._config = roles.producer_config(bootstrap_servers, used, roles.queue_bytes(used)) | _SETTINGS
        self._connecting = connecting
        self._control = control
        self._closing = closing

    async def open_writer(self, topic: str, transactional_id: str, timeout: float) -> Writer:
        """Create a client, and fence earlier ones; see :meth:`TransactionPort.open_writer`."""
        deadline = time.monotonic() + timeout
        config = self._config | {"transactional.id": transactional_id}
        client = await self._connecting.run(timeout, _created, config)
        writer = Writer(topic, client, self._control, self._closing)
        try:
            await self._control.run(timeout, _initialise, client, deadline)
        except BaseException:
            await writer.close()
            raise
        return writer


class Writer:
    """A transactional client. Its owner makes one call at a time."""

    def __init__(self, topic: str, client: Owned, control: Blocking, closing: Blocking) -> None:
        self._topic = topic
        self._client = client
        self._control = control
        self._closing = closing

    async def write(self, records: Mapping[str, bytes | None], timeout: float) -> int:
        """Write records in one transaction; see :meth:`TransactionalWriter.write`."""
        try:
            return await self._control.run(timeout, _write, self._client, self._topic, records, timeout)
        except KafkaAuthorizationFailed:
            raise
        except FacadeError as error:
            raise WriterLost(str(error)) from error

    def serve(self) -> None:
        """Let the client report its errors, which it keeps until then."""
        self._client.poll(0)

    async def close(self) -> None:
        """Destroy the client in a thread."""
        self._closing.begin(self._client.destroy)


def _created(config: Mapping[str, Any]) -> Owned:
    with thread_keys.taking():
        return Owned(ClientProducer(dict(config)))


def _initialise(client: Owned, deadline: float) -> None:
    """Get a new epoch from the coordinator. Blocks."""
    while True:
        try:
            client.init_transactions(positive(deadline - time.monotonic()))
        except KafkaException as error:
            # A transaction of the writer before may be ending.
            if not error.args[0].retriable() or deadline - time.monotonic() <= _RETRY_SECONDS:
                raise from_exception(error) from error
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _write(client: Owned, topic: str, records: Mapping[str, bytes | None], timeout: float) -> int:
    """Write records in one transaction, and return the offset of the last one. Blocks."""
    deadline = time.monotonic() + timeout
    offsets: list[int] = []
    failures: list[ClientError] = []

    def delivered(error: ClientError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            offsets.append(message.offset() or 0)

    client.begin_transaction()
    try:
        for key, value in records.items():
            client.produce(topic, key=key.encode(), value=value, partition=_PARTITION, on_delivery=delivered)
        client.flush(positive(deadline - time.monotonic()))
        if failures:
            raise KafkaException(failures[0])
        _commit(client, deadline)
    except BaseException:
        with contextlib.suppress(Exception):
            client.abort_transaction(positive(deadline - time.monotonic()))
        raise
    return max(offsets)


def _commit(client: Owned, deadline: float) -> None:
    while True:
        try:
            client.commit_transaction(positive(deadline - time.monotonic()))
        except KafkaException as error:
            if not error.args[0].retriable() or deadline - time.monotonic() <= _RETRY_SECONDS:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
