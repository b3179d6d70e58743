"""Mutations of consumer instances. Fetching is one of them, because it advances the instance's position."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from kafka_facade.core.instances import model as core_instances
from kafka_facade.core.records import model as core_records
from kafka_facade.core.records.sizes import record_size
from kafka_facade.core.topics import positions as core_positions
from kafka_facade_graphql.consumer_instances import Consumer, TopicPartitionInput, partitions_of
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.records import FetchedRecord, Format
from kafka_facade_graphql.scalars import BigInt, to_millis


@strawberry.input(description="The consumer instance to create.")
class CreateConsumerInput:
    """Input of createConsumer."""

    group: str = strawberry.field(description="The consumer group.")
    name: str | None = strawberry.field(default=None, description="The instance's name; made up if left out.")
    format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format to fetch records in, not STRING; BINARY if left out."
    )
    auto_offset_reset: str | None = strawberry.field(
        default=None, description="Where a partition without a committed offset starts: earliest, latest or none."
    )
    auto_commit: bool | None = strawberry.field(
        default=None, description="Whether to commit automatically what was fetched."
    )
    fetch_min_bytes: int | None = strawberry.field(
        default=None,
        description=(
            "How much to gather before a fetch answers, in bytes, from -1 to 10000000. With -1 or 0 it returns what is "
            "there at once; a REST read of the instance waits with -1 until its time has passed."
        ),
    )
    request_timeout_ms: int | None = strawberry.field(
        default=None, description="How long a fetch waits, in milliseconds."
    )


@strawberry.input(description="Names a consumer instance.")
class ConsumerInput:
    """A consumer instance by name."""

    group: str = strawberry.field(description="The consumer group.")
    instance: str = strawberry.field(description="The instance's name.")


@strawberry.input(description="The instance to delete.")
class DeleteConsumerInput(ConsumerInput):
    """Input of deleteConsumer."""


@strawberry.input(description="What to subscribe to: topics or a pattern.")
class SubscribeConsumerInput(ConsumerInput):
    """Input of subscribeConsumer."""

    topics: list[str] = strawberry.field(default_factory=list, description="The topics' names.")
    topic_pattern: str | None = strawberry.field(default=None, description="A regular expression for topic names.")


@strawberry.input(description="The instance that drops its subscription or its assignment.")
class UnsubscribeConsumerInput(ConsumerInput):
    """Input of unsubscribeConsumer."""


@strawberry.input(description="The partitions to read, without a subscription.")
class AssignConsumerPartitionsInput(ConsumerInput):
    """Input of assignConsumerPartitions."""

    partitions: list[TopicPartitionInput] = strawberry.field(description="The partitions.")


@strawberry.input(description="How to fetch the next records.")
class FetchConsumerRecordsInput(ConsumerInput):
    """Input of fetchConsumerRecords."""

    format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format that is expected; the instance's own if left out."
    )
    timeout_ms: int | None = strawberry.field(
        default=None, description="How long to wait, in milliseconds; it only lowers the instance's own limit."
    )
    max_bytes: int | None = strawberry.field(
        default=None, description="How many bytes to return at most, from 1; it only lowers the server's own limit."
    )
    key_format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format that keys are decoded from; the instance's own if left out."
    )
    value_format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format that values are decoded from; the instance's own if left out."
    )
    decode_with_registry: bool = strawberry.field(
        default=False,
        description=(
            "Whether keys and values that have no format above are decoded by the schema of the Schema Registry whose "
            "id they begin with; those that begin with none are BINARY."
        ),
    )


@strawberry.input(description="An offset in a partition.")
class PartitionOffsetInput(TopicPartitionInput):
    """A position."""

    offset: BigInt = strawberry.field(description="The offset.")
    metadata: str = strawberry.field(default="", description="A text to keep with an offset that is committed.")


@strawberry.input(description="A time in a partition.")
class PartitionTimeInput(TopicPartitionInput):
    """A time to read from."""

    timestamp: datetime = strawberry.field(description="The time.")


@strawberry.input(description="What to commit.")
class CommitConsumerOffsetsInput(ConsumerInput):
    """Input of commitConsumerOffsets."""

    offsets: list[PartitionOffsetInput] | None = strawberry.field(
        default=None,
        description="The last record read in each partition; the current position of each partition if left out.",
    )


@strawberry.input(description="The offsets to read on from.")
class SeekConsumerToOffsetsInput(ConsumerInput):
    """Input of seekConsumerToOffsets."""

    offsets: list[PartitionOffsetInput] = strawberry.field(
        default_factory=list, description="The next offset to read in each partition."
    )
    times: list[PartitionTimeInput] = strawberry.field(
        default_factory=list,
        description="Times to read from: the first record at or after each, or the end where there is none.",
    )


@strawberry.input(description="The partitions to read from their first or last offset.")
class SeekConsumerInput(ConsumerInput):
    """Input of seekConsumerToBeginning and seekConsumerToEnd."""

    partitions: list[TopicPartitionInput] = strawberry.field(description="The partitions.")


@strawberry.input(description="The partitions to read from their beginning.")
class SeekConsumerToBeginningInput(SeekConsumerInput):
    """Input of seekConsumerToBeginning."""


@strawberry.input(description="The partitions to read from their end.")
class SeekConsumerToEndInput(SeekConsumerInput):
    """Input of seekConsumerToEnd."""


@strawberry.type(description="The instance that was created.")
class CreateConsumerPayload:
    """Answer of createConsumer."""

    created: strawberry.Private[core_instances.ConsumerInstance]

    @field(description="The instance.", graphql_type=Consumer)
    def consumer(self) -> core_instances.ConsumerInstance:
        return self.created


@strawberry.type(description="The instance that was deleted.")
class DeleteConsumerPayload:
    """Answer of deleteConsumer."""

    group: str = strawberry.field(description="The consumer group.")
    instance_id: str = strawberry.field(description="The instance's name.")


@strawberry.type(description="What a mutation of a consumer instance answers.")
class ConsumerPayload:
    """An instance after it was changed."""

    reference: strawberry.Private[core_instances.ConsumerRef]

    @field(description="The instance.", graphql_type=Consumer | None)
    async def consumer(self, info: Info) -> core_instances.ConsumerInstance:
        return await info.context.consumer(self.reference)


@strawberry.type(description="The instance with its subscription.")
class SubscribeConsumerPayload(ConsumerPayload):
    """Answer of subscribeConsumer."""


@strawberry.type(description="The instance without its subscription or assignment.")
class UnsubscribeConsumerPayload(ConsumerPayload):
    """Answer of unsubscribeConsumer."""


@strawberry.type(description="The instance with its assignment.")
class AssignConsumerPartitionsPayload(ConsumerPayload):
    """Answer of assignConsumerPartitions."""


@strawberry.type(description="The instance whose offsets were committed.")
class CommitConsumerOffsetsPayload(ConsumerPayload):
    """Answer of commitConsumerOffsets."""


@strawberry.type(description="The instance at its new offsets.")
class SeekConsumerToOffsetsPayload(ConsumerPayload):
    """Answer of seekConsumerToOffsets."""


@strawberry.type(description="The instance at the beginning of the partitions.")
class SeekConsumerToBeginningPayload(ConsumerPayload):
    """Answer of seekConsumerToBeginning."""


@strawberry.type(description="The instance at the end of the partitions.")
class SeekConsumerToEndPayload(ConsumerPayload):
    """Answer of seekConsumerToEnd."""


@strawberry.type(description="The records that were fetched.")
class FetchConsumerRecordsPayload(ConsumerPayload):
    """Answer of fetchConsumerRecords."""

    fetched: strawberry.Private[list[core_records.FetchedRecord]]

    @field(description="The next records; empty where none came in time.", graphql_type=list[FetchedRecord])
    def records(self) -> list[core_records.FetchedRecord]:
        return self.fetched


@strawberry.type
class ConsumerMutations:
    """The mutations of consumer instances; a part of the mutation root."""

    @field(description="Create a consumer instance.")
    async def create_consumer(
        self, info: Info, input: Annotated[CreateConsumerInput, argument("The instance to create.")]
    ) -> CreateConsumerPayload | None:
        context = info.context
        request = core_instances.CreateConsumer(
            input.group,
            input.name,
            None if input.format is None else input.format.value.lower(),
            input.auto_offset_reset,
            None if input.auto_commit is None else str(input.auto_commit).lower(),
            None if input.fetch_min_bytes is None else str(input.fetch_min_bytes),
            None if input.request_timeout_ms is None else str(input.request_timeout_ms),
        )
        return CreateConsumerPayload(created=await context.change("api.v2.consumers.create", request))

    @field(description="Leave the group and forget the instance.")
    async def delete_consumer(
        self, info: Info, input: Annotated[DeleteConsumerInput, argument("The instance to delete.")]
    ) -> DeleteConsumerPayload | None:
        context = info.context
        await context.change("api.v2.consumers.delete", core_instances.DeleteConsumer(input.group, input.instance))
        return DeleteConsumerPayload(group=input.group, instance_id=input.instance)

    @field(description="Join the group for topics, or for those that match a pattern.")
    async def subscribe_consumer(
        self, info: Info, input: Annotated[SubscribeConsumerInput, argument("What to subscribe to.")]
    ) -> SubscribeConsumerPayload | None:
        context = info.context
        request = core_instances.SubscribeConsumer(input.group, input.instance, input.topics, input.topic_pattern)
        await context.change("api.v2.consumers.subscribe", request)
        return SubscribeConsumerPayload(reference=_reference(input))

    @field(description="Drop the subscription or the assignment.")
    async def unsubscribe_consumer(
        self, info: Info, input: Annotated[UnsubscribeConsumerInput, argument("The instance.")]
    ) -> UnsubscribeConsumerPayload | None:
        context = info.context
        await context.change("api.v2.consumers.unsubscribe", core_instances.Unsubscribe(input.group, input.instance))
        return UnsubscribeConsumerPayload(reference=_reference(input))

    @field(description="Read exactly these partitions.")
    async def assign_consumer_partitions(
        self, info: Info, input: Annotated[AssignConsumerPartitionsInput, argument("The partitions to read.")]
    ) -> AssignConsumerPartitionsPayload | None:
        context = info.context
        request = core_instances.AssignConsumer(input.group, input.instance, partitions_of(input.partitions))
        await context.change("api.v2.consumers.assign", request)
        return AssignConsumerPartitionsPayload(reference=_reference(input))

    @field(description="Fetch the next records.")
    async def fetch_consumer_records(
        self, info: Info, input: Annotated[FetchConsumerRecordsInput, argument("How to fetch.")]
    ) -> FetchConsumerRecordsPayload | None:
        context = info.context
        own = await context.format_of(_reference(input)) if input.format is None else input.format
        identifier = core_instances.fetch_operation(own)
        # All fetches of an operation share the byte limit of one; each may still return at least one record.
        left = max(context.facade.fetch_max_bytes - context.fetched_bytes, 1)
        max_bytes = left if input.max_bytes is None else min(input.max_bytes, left)
        otherwise = None if input.decode_with_registry else own
        request = core_instances.FetchRecords(
            input.group,
            input.instance,
            own,
            input.timeout_ms,
            max_bytes,
            at_once=True,
            formats=core_records.ReadFormats(input.key_format or otherwise, input.value_format or otherwise),
        )
        fetched = await context.fetch(identifier, request)
        context.fetched_bytes += sum(record_size(entry.record) + entry.weight for entry in fetched)
        return FetchConsumerRecordsPayload(reference=_reference(input), fetched=fetched)

    @field(description="Commit offsets, and return once Kafka has them.")
    async def commit_consumer_offsets(
        self, info: Info, input: Annotated[CommitConsumerOffsetsInput, argument("What to commit.")]
    ) -> CommitConsumerOffsetsPayload | None:
        context = info.context
        offsets = None if input.offsets is None else _positions(input.offsets)
        request = core_instances.CommitOffsets(input.group, input.instance, offsets)
        await context.change("api.v2.consumers.commit-offsets", request)
        return CommitConsumerOffsetsPayload(reference=_reference(input))

    @field(description="Seek to given offsets or times.")
    async def seek_consumer_to_offsets(
        self, info: Info, input: Annotated[SeekConsumerToOffsetsInput, argument("The offsets.")]
    ) -> SeekConsumerToOffsetsPayload | None:
        context = info.context
        times = [
            core_positions.PartitionTime(entry.topic_name, entry.partition_id, to_millis(entry.timestamp) or 0)
            for entry in input.times
        ]
        request = core_instances.SeekConsumer(input.group, input.instance, _positions(input.offsets), times)
        await context.change("api.v2.consumers.seek-to-offset", request)
        return SeekConsumerToOffsetsPayload(reference=_reference(input))

    @field(description="Read on from the first offset of partitions.")
    async def seek_consumer_to_beginning(
        self, info: Info, input: Annotated[SeekConsumerToBeginningInput, argument("The partitions.")]
    ) -> SeekConsumerToBeginningPayload | None:
        context = info.context
        request = core_instances.SeekToBeginning(input.group, input.instance, partitions_of(input.partitions))
        await context.change("api.v2.consumers.seek-to-beginning", request)
        return SeekConsumerToBeginningPayload(reference=_reference(input))

    @field(description="Read on from the end of partitions.")
    async def seek_consumer_to_end(
        self, info: Info, input: Annotated[SeekConsumerToEndInput, argument("The partitions.")]
    ) -> SeekConsumerToEndPayload | None:
        context = info.context
        request = core_instances.SeekToEnd(input.group, input.instance, partitions_of(input.partitions))
        await context.change("api.v2.consumers.seek-to-end", request)
        return SeekConsumerToEndPayload(reference=_reference(input))


def _reference(given: ConsumerInput) -> core_instances.ConsumerRef:
    return core_instances.ConsumerRef(given.group, given.instance)


def _positions(given: list[PartitionOffsetInput]) -> list[core_positions.PartitionPosition]:
    return [
        core_positions.PartitionPosition(entry.topic_name, entry.partition_id, entry.offset, entry.metadata)
        for entry in given
    ]
