"""Mutations of consumer instances. Fetching is one of them, because it advances the instance's position."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Final

import strawberry

from kafka_facade.core.instances import model as core_instances
from kafka_facade.core.records import model as core_records
from kafka_facade.core.records.sizes import record_size
from kafka_facade.core.topics import positions as core_positions
from kafka_facade_graphql.consumer_instances import Consumer, TopicPartitionInput, partitions_of
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.inputs import Fields, Given, derive_input
from kafka_facade_graphql.mutations import Mutation, Outcome, Shown, named
from kafka_facade_graphql.records import FetchedRecord, Format, Unshown
from kafka_facade_graphql.scalars import to_millis
from kafka_facade_graphql.selected_objects import too_many_objects


@strawberry.input(description="The consumer instance to create.")
class CreateConsumerInput:
    """Input of createConsumer."""

    group: str = strawberry.field(description="The consumer group.")
    name: str | None = strawberry.field(default=None, description="The instance's name; default: a generated name.")
    format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format of fetched records, not STRING; default: BINARY."
    )
    auto_offset_reset: str | None = strawberry.field(
        default=None,
        description="The start position in partitions without a committed offset: earliest, latest or none.",
    )
    auto_commit: bool | None = strawberry.field(
        default=None, description="Whether to commit fetched records automatically."
    )
    fetch_min_bytes: int | None = strawberry.field(
        default=None,
        description=(
            "The minimum number of bytes that a fetch waits for, from -1 to 10000000. With -1 or 0 it returns "
            "available records at once. A REST read waits with -1 until its timeout expires or its maximum is reached."
        ),
    )
    request_timeout_ms: int | None = strawberry.field(
        default=None, description="The timeout of a fetch, in milliseconds."
    )


@strawberry.input(description="Parameters of a fetch.")
class FetchConsumerRecordsInput:
    """Input of fetchConsumerRecords."""

    group: str = strawberry.field(description="The consumer group.")
    instance: str = strawberry.field(description="The instance's name.")
    format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The expected format; default: the instance's format."
    )
    timeout_ms: int | None = strawberry.field(
        default=None, description="The timeout in milliseconds; values above the instance's timeout have no effect."
    )
    max_bytes: int | None = strawberry.field(
        default=None,
        description=(
            "The maximum bytes of keys, values and headers to return, from 1; each record counts about 100 bytes more. "
            "A larger record is returned alone. Values above the server's limit have no effect."
        ),
    )
    key_format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format of keys; default: the instance's format."
    )
    value_format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The format of values; default: the instance's format."
    )
    decode_with_registry: bool = strawberry.field(
        default=False,
        description=(
            "Whether to decode keys and values without a format above with the Schema Registry: the schema is the one "
            "whose id is in their first bytes. Without a schema id they are BINARY."
        ),
    )


@strawberry.type(description="The instance that was created.")
class CreateConsumerPayload:
    """Answer of createConsumer."""

    created: strawberry.Private[core_instances.ConsumerInstance]

    @field(description="The instance.", graphql_type=Consumer)
    def consumer(self) -> core_instances.ConsumerInstance:
        return self.created


@strawberry.type(description="The records that were fetched.")
class FetchConsumerRecordsPayload:
    """Answer of fetchConsumerRecords."""

    reference: strawberry.Private[core_instances.ConsumerRef]
    fetched: strawberry.Private[list[core_records.FetchedRecord]]

    @field(description="The instance.", graphql_type=Consumer | None)
    async def consumer(self, info: Info) -> core_instances.ConsumerInstance:
        return await info.context.consumer(self.reference)

    @field(description="The next records; empty if none arrived before the timeout.", graphql_type=list[FetchedRecord])
    def records(self) -> list[core_records.FetchedRecord]:
        return self.fetched


@strawberry.type
class CreateMutation:
    """The mutation that creates an instance: its settings have types, while the core takes texts."""

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


@strawberry.type
class FetchMutation:
    """The mutation that fetches, whose records count as consumed once the caller has them."""

    @field(description="Fetch the next records.")
    async def fetch_consumer_records(
        self, info: Info, input: Annotated[FetchConsumerRecordsInput, argument("How to fetch.")]
    ) -> FetchConsumerRecordsPayload | None:
        context = info.context
        reference = core_instances.ConsumerRef(input.group, input.instance)
        own = await context.format_of(reference) if input.format is None else input.format
        identifier = core_instances.fetch_operation(own)
        # All fetches of an operation share the byte limit of one; each may still return at least one record.
        left = max(context.core.fetch_max_bytes - context.fetched_bytes, 1)
        max_bytes = left if input.max_bytes is None else min(input.max_bytes, left)
        # Fetch no more records than the response may have objects.
        selected = context.selected(info._raw_info)
        objects = selected.next_fetch(info._raw_info, context.objects_left)
        otherwise = None if input.decode_with_registry else own
        request = core_instances.FetchRecords(
            input.group,
            input.instance,
            own,
            input.timeout_ms,
            max_bytes,
            max_bytes,
            at_once=True,
            formats=core_records.ReadFormats(input.key_format or otherwise, input.value_format or otherwise),
            objects=objects,
        )
        fetched = await context.fetch(identifier, request, str(info.path.key))
        context.fetched_bytes += sum(record_size(entry.record) + entry.weight for entry in fetched)
        if len(fetched) == 1 and objects.of(fetched[0].record) > selected.alone(context.max_objects):
            # No response can have it, so that the group would stay before it.
            fetched = [Unshown.of(fetched[0], too_many_objects(context.max_objects, fetched[0].record))]
        return FetchConsumerRecordsPayload(reference=reference, fetched=fetched)


def _consumer(outcome: Outcome, info: Info) -> Awaitable[core_instances.ConsumerInstance]:
    return info.context.consumer(core_instances.ConsumerRef(outcome.request.group, outcome.request.instance))


_CONSUMER: Final = Shown("consumer", Consumer | None, "The instance.", _consumer)
_REFERENCE: Final[Fields] = {"group": "The consumer group.", "instance": "The instance's name."}
_PLACE: Final[Fields] = {
    "topic": Given("The topic's name.", name="topic_name"),
    "partition": Given("The partition's number, from 0.", name="partition_id"),
}
_OFFSET: Final = derive_input(
    core_positions.PartitionPosition,
    "PartitionOffsetInput",
    "An offset in a partition.",
    {
        **_PLACE,
        "offset": "The offset.",
        "metadata": "Metadata of a committed offset.",
    },
)
_TIME: Final = derive_input(
    core_positions.PartitionTime,
    "PartitionTimeInput",
    "A time in a partition.",
    {**_PLACE, "timestamp": Given("The time.", kind=datetime, read=to_millis)},
)
_PARTITIONS: Final[Fields] = {
    **_REFERENCE,
    "partitions": Given("The partitions.", kind=list[TopicPartitionInput], read=partitions_of),
}

MUTATIONS: Final = (
    CreateMutation,
    Mutation(
        "api.v2.consumers.delete",
        core_instances.DeleteConsumer,
        description="Leave the group and delete the instance.",
        argument="The instance to delete.",
        input="The instance to delete.",
        fields=_REFERENCE,
        payload="The instance that was deleted.",
        shows=(
            named("group", str, "The consumer group.", "group"),
            named("instanceId", str, "The instance's name.", "instance"),
        ),
    ),
    Mutation(
        "api.v2.consumers.subscribe",
        core_instances.SubscribeConsumer,
        description="Join the group and subscribe to topics, or to those that match a pattern.",
        argument="What to subscribe to.",
        input="What to subscribe to: topics or a pattern.",
        fields={
            **_REFERENCE,
            "topics": "The topics' names.",
            "topic_pattern": "A regular expression for topic names.",
        },
        payload="The instance with its subscription.",
        shows=(_CONSUMER,),
    ),
    Mutation(
        "api.v2.consumers.unsubscribe",
        core_instances.Unsubscribe,
        description="Remove the subscription or the assignment.",
        argument="The instance.",
        input="The instance whose subscription or assignment to remove.",
        fields=_REFERENCE,
        payload="The instance without its subscription or assignment.",
        shows=(_CONSUMER,),
    ),
    Mutation(
        "api.v2.consumers.assign",
        core_instances.AssignConsumer,
        description="Assign exactly these partitions.",
        argument="The partitions to read.",
        input="The partitions to read, without a subscription.",
        fields=_PARTITIONS,
        payload="The instance with its assignment.",
        shows=(_CONSUMER,),
    ),
    FetchMutation,
    Mutation(
        "api.v2.consumers.commit-offsets",
        core_instances.CommitOffsets,
        description="Commit offsets, and return after Kafka has stored them.",
        argument="What to commit.",
        input="What to commit.",
        fields={
            **_REFERENCE,
            "offsets": Given(
                "The offset of the last processed record in each partition; default: the current positions.",
                of=_OFFSET,
            ),
        },
        payload="The instance whose offsets were committed.",
        shows=(_CONSUMER,),
    ),
    Mutation(
        "api.v2.consumers.seek-to-offset",
        core_instances.SeekConsumer,
        description="Seek to given offsets or times.",
        argument="The offsets.",
        input="The offsets or times to seek to.",
        fields={
            **_REFERENCE,
            "offsets": Given("The next offset to read in each partition.", of=_OFFSET),
            "times": Given(
                "Times to read from: the first record at or after each, or the end if there is none.", of=_TIME
            ),
        },
        payload="The instance at its new offsets.",
        shows=(_CONSUMER,),
    ),
    Mutation(
        "api.v2.consumers.seek-to-beginning",
        core_instances.SeekToBeginning,
        description="Seek to the first offset of partitions.",
        argument="The partitions.",
        input="The partitions to read from their beginning.",
        fields=_PARTITIONS,
        payload="The instance at the beginning of the partitions.",
        shows=(_CONSUMER,),
    ),
    Mutation(
        "api.v2.consumers.seek-to-end",
        core_instances.SeekToEnd,
        description="Seek to the end of partitions.",
        argument="The partitions.",
        input="The partitions to read from their end.",
        fields=_PARTITIONS,
        payload="The instance at the end of the partitions.",
        shows=(_CONSUMER,),
    ),
)
