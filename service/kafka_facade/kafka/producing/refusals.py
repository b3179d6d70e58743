"""Records that Kafka refuses because of one in the same request.

Kafka takes a request's records of one partition as a whole or not at all. Which of them it objects to is known at
times only: librdkafka 2.16 names the culprits where there are several, and gives all records the same error where there
is one. So what was refused together is sent again by a client whose requests are smaller, and at last one by one: then
the verdict on a record is its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, RetriableKafkaError
from kafka_facade.core.records.model import Delivery
from kafka_facade.core.records.port import SerializedRecord

SMALL: Final = 1
ALONE: Final = 2
CLIENTS: Final[Sequence[dict[str, Any]]] = ({}, {"batch.size": 16_384}, {"batch.num.messages": 1})
"""What the settings of the clients differ in: the one that all records go to first, SMALL and ALONE."""

PARTITIONER_DECIDES: Final = -1

MOST_ALONE: Final = 1_000
"""How many of the records that were submitted together are sent one by one: that costs Kafka a request each."""

_TOO_LARGE: Final = frozenset({ClientError.MSG_SIZE_TOO_LARGE, ClientError.RECORD_LIST_TOO_LARGE})
COLLECTIVE: Final = _TOO_LARGE | {
    ClientError.INVALID_RECORD,
    ClientError.INVALID_TIMESTAMP,
    ClientError._INVALID_DIFFERENT_RECORD,
}
"""Codes that a record may have because of another one."""

_NO_KEY: Final = "Kafka refused the record: a compacted topic takes no record without a key."
_INVALID: Final = "Kafka refused the record as invalid."
_OUT_OF_RANGE: Final = (
    "Timestamp {} of the record is out of the range that the topic takes "
    "(message.timestamp.before.max.ms, message.timestamp.after.max.ms)."
)
_AGAIN: Final = "Not stored: another record of the same batch was invalid; retry."


class Refused(NamedTuple):
    """A record that was refused with others: its place among those it was submitted with, and its partition."""

    place: int
    partition: int
    code: int


def verdict(record: SerializedRecord, error: ClientError, topic: str) -> FacadeError | None:
    """What is told of a record that was refused for itself; None for other errors than refusals."""
    about = {"kafka_error": error.name(), "topic_name": topic}
    if error.code() == ClientError.INVALID_TIMESTAMP and record.timestamp is not None:
        return InvalidKafkaRequest(_OUT_OF_RANGE.format(record.timestamp), field="timestamp", **about)
    if error.code() == ClientError.INVALID_RECORD:
        return (
            InvalidKafkaRequest(_INVALID, **about) if record.key else InvalidKafkaRequest(_NO_KEY, field="key", **about)
        )
    return None


def innocent(topic: str) -> FacadeError:
    """What is told of a record that can't be sent again without a change of order, or at too high a price."""
    return RetriableKafkaError(_AGAIN, topic_name=topic)


def is_doubtful(record: SerializedRecord, code: int) -> bool:
    """Whether the record may be the reason of the refusal, as far as it can be seen."""
    if code == ClientError.INVALID_TIMESTAMP:
        return record.timestamp is not None
    if code == ClientError.INVALID_RECORD:
        return record.key is None or record.timestamp is not None
    return code != ClientError._INVALID_DIFFERENT_RECORD


def plan(
    client: int,
    refused: Sequence[Refused],
    records: Sequence[SerializedRecord],
    outcomes: Sequence[object],
    taken: Collection[int] = (),
) -> tuple[int, list[Refused]]:
    """The client that sends again what another one sent in vain, and what it sends, in order.

    ``outcomes`` are those of all records that were submitted together. A record is left out where a later one is in
    the partition already; those of ``taken`` have one that was submitted later.
    """
    last = {outcome.partition: index for index, outcome in enumerate(outcomes) if isinstance(outcome, Delivery)}
    chosen = sorted(
        entry for entry in refused if last.get(entry.partition, -1) < entry.place and entry.partition not in taken
    )
    suspects = [
        entry for entry in chosen if entry.code not in _TOO_LARGE and is_doubtful(records[entry.place], entry.code)
    ]
    if client == 0 and not suspects:
        return SMALL, chosen
    if len(chosen) > MOST_ALONE:
        first = set(suspects[:MOST_ALONE])
        room = MOST_ALONE - len(first)
        first.update([entry for entry in chosen if entry not in first][:room])
        chosen = sorted(first)
    return ALONE, chosen
