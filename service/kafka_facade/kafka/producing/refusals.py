"""Records that Kafka rejects because of another record in the same batch.

Kafka accepts or rejects all records of one partition in a request together. The response does not always tell which
record is invalid: librdkafka 2.16 reports the invalid records if there are several, but gives all records the same
error if there is only one. Therefore rejected records are resent by a client with smaller requests, and finally one by
one, so that each record gets its own result.
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
"""Settings that differ between the clients: the first one, which all records go to, SMALL and ALONE."""

PARTITIONER_DECIDES: Final = -1

MOST_ALONE: Final = 1_000
"""Maximum number of records per submission that are resent one by one, since each costs Kafka a request."""

_TOO_LARGE: Final = frozenset({ClientError.MSG_SIZE_TOO_LARGE, ClientError.RECORD_LIST_TOO_LARGE})
COLLECTIVE: Final = _TOO_LARGE | {
    ClientError.INVALID_RECORD,
    ClientError.INVALID_TIMESTAMP,
    ClientError._INVALID_DIFFERENT_RECORD,
}
"""Error codes that a record may get because of another record in its batch."""

_NO_KEY: Final = "Kafka refused the record: a compacted topic takes no record without a key."
_INVALID: Final = "Kafka refused the record as invalid."
_OUT_OF_RANGE: Final = (
    "Timestamp {} of the record is out of the range that the topic takes "
    "(message.timestamp.before.max.ms, message.timestamp.after.max.ms)."
)
_AGAIN: Final = "Not stored: another record of the same batch was invalid; retry."


class Refused(NamedTuple):
    """A record rejected together with others: its index in the submission, and its partition."""

    place: int
    partition: int
    code: int


def verdict(record: SerializedRecord, error: ClientError, topic: str) -> FacadeError | None:
    """Return the error for a record that was rejected on its own; None if the code is not a rejection."""
    about = {"kafka_error": error.name(), "topic_name": topic}
    if error.code() == ClientError.INVALID_TIMESTAMP and record.timestamp is not None:
        return InvalidKafkaRequest(_OUT_OF_RANGE.format(record.timestamp), field="timestamp", **about)
    if error.code() == ClientError.INVALID_RECORD:
        return (
            InvalidKafkaRequest(_INVALID, **about) if record.key else InvalidKafkaRequest(_NO_KEY, field="key", **about)
        )
    return None


def innocent(topic: str) -> FacadeError:
    """Return the error for a valid record that is not resent, because of ordering or cost."""
    return RetriableKafkaError(_AGAIN, topic_name=topic)


def is_doubtful(record: SerializedRecord, code: int) -> bool:
    """Return whether the record may be the reason for the rejection, judging by its contents."""
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
    """Choose the next client for rejected records, and the records that it resends, in order.

    ``outcomes`` are the results of the whole submission. A record is omitted if a later one is stored in its partition
    already, which would change their order; ``taken`` are partitions with a record of a later submission.
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
