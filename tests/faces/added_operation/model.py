"""The family's resource, and the requests for it."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.request import Int64, Request


@dataclass(slots=True)
class TopicSize:
    """How many records a topic holds."""

    cluster_id: str
    topic_name: str
    records_count: Int64


@dataclass(slots=True)
class ListTopicSizes(Request[list[TopicSize]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetTopicSize(Request[TopicSize]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class PartitionTrim:
    """Deletes the records of a partition before an offset."""

    partition_id: int
    before_offset: Int64


@dataclass(slots=True)
class TrimTopic(Request[TopicSize]):
    cluster_id: str | None
    topic_name: str
    partitions: list[PartitionTrim]
    validate_only: bool = False
