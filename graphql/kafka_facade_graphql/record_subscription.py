"""The subscription to the records of a topic."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from typing import Annotated, Final

import strawberry

from kafka_facade.core.instances.model import ObjectLimit
from kafka_facade.core.records import model as core_records
from kafka_facade.core.records.model import ConsumeRecords
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import subscription
from kafka_facade_graphql.loaders import CALLER
from kafka_facade_graphql.records import Record
from kafka_facade_graphql.scalars import BigInt, to_millis

MAX_RECORDS: Final = 500
MAX_BYTES: Final = 128 * 1024


@strawberry.enum(description="The start position in a partition.")
class Start(Enum):
    """The starts of the core, by their names in upper case."""

    EARLIEST = strawberry.enum_value("earliest", description="At the first offset that can be read.")
    LATEST = strawberry.enum_value("latest", description="At the end: only records written from now on.")
    OFFSET = strawberry.enum_value(
        "offset", description="At the given offset, or at the end if the offset does not exist yet."
    )
    TIMESTAMP = strawberry.enum_value("timestamp", description="At the first record at or after the given timestamp.")


@strawberry.type
class RecordSubscription:
    """The field of the subscription root."""

    @subscription(
        graphql_type=AsyncGenerator[list[Record], None],
        description=(
            "The records of a topic, in order within a partition, and new records as they are written. Each event has "
            "the available records, at least one."
        ),
    )
    async def records(
        self,
        info: Info,
        topic_name: Annotated[str, strawberry.argument(description="The topic's name.")],
        cluster_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The cluster's id in Kafka; default: the gateway's cluster."),
        ] = None,
        partitions: Annotated[
            list[int] | None, strawberry.argument(description="The partitions to read; default: all.")
        ] = None,
        start: Annotated[Start, strawberry.argument(name="from", description="The start position.")] = Start.LATEST,
        offset: Annotated[BigInt | None, strawberry.argument(description="The offset, for OFFSET.")] = None,
        timestamp: Annotated[datetime | None, strawberry.argument(description="The time, for TIMESTAMP.")] = None,
        follow: Annotated[
            bool,
            strawberry.argument(
                description="Whether to wait for new records; false ends at the current last stable offsets."
            ),
        ] = True,
        max_records: Annotated[
            int, strawberry.argument(description="The maximum number of records in one event, from 1 to 500.")
        ] = MAX_RECORDS,
        max_bytes: Annotated[
            int,
            strawberry.argument(
                description=(
                    "The maximum bytes of keys, values and headers in one event, from 1 to 131072. Each record counts "
                    "about 100 bytes more. A larger record has an event of its own."
                )
            ),
        ] = MAX_BYTES,
    ) -> AsyncGenerator[list[core_records.Record], None]:
        core = info.context.core
        objects = info.context.selected(info._raw_info).event(info._raw_info, info.context.max_objects)
        request = ConsumeRecords(
            cluster_id,
            topic_name,
            partitions or [],
            start.name.lower(),
            offset or 0,
            to_millis(timestamp) or 0,
            follow,
            min(max_records, MAX_RECORDS),
            min(max_bytes, MAX_BYTES),
        )
        with core.admitted("api.facade.records.consume", CALLER) as call:
            async with aclosing(core.stream(call, request)) as batches:
                async for batch in batches:
                    waiting = deque(batch)
                    del batch
                    while waiting:
                        event = _fitting(waiting, objects)
                        info.context.start_event(event[0] if len(event) == 1 else None)
                        yield event
                        # The libraries keep the list until the next one is there, which may take hours.
                        event.clear()


def _fitting(waiting: deque[core_records.Record], limit: ObjectLimit) -> list[core_records.Record]:
    """Take the next records, at least one, up to the limit of objects."""
    taken = [waiting.popleft()]
    count = limit.of(taken[0])
    while waiting and (count := count + limit.of(waiting[0])) <= limit.most:
        taken.append(waiting.popleft())
    return taken
