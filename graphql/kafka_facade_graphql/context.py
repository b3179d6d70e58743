"""The context shared by the resolvers of one GraphQL operation."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, NamedTuple

import strawberry
from graphql import GraphQLResolveInfo

from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, InvalidRequest
from kafka_facade.core.instances.model import (
    AssignConsumer,
    CommitOffsets,
    ConsumerInstance,
    ConsumerPartitions,
    ConsumerRef,
    FetchRecords,
    GetConsumerInstance,
    SeekConsumer,
    SubscribeConsumer,
)
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import FetchedRecord, Format, Record
from kafka_facade.core.request import Answer, Request
from kafka_facade.core.reservation import Reservation
from kafka_facade_graphql.handing_over import current
from kafka_facade_graphql.loaders import CALLER, Loaders
from kafka_facade_graphql.selected_objects import SelectedObjects, too_many_objects

# Requests that change a consumer instance.
_OF_INSTANCES = ConsumerRef | SubscribeConsumer | AssignConsumer | ConsumerPartitions | CommitOffsets | SeekConsumer


# Resolvers that take their operation's context as an argument cannot be compiled.
_decoding: ContextVar[Decoding] = ContextVar("decoding")


def current_decoding() -> Decoding:
    """Return what the current request or connection decodes keys and values with."""
    return _decoding.get()


def use_decoding(decoding: Decoding) -> None:
    """Decode keys and values with this, in this task and those that it starts."""
    _decoding.set(decoding)


class Memory(NamedTuple):
    """The memory of one operation."""

    request: Reservation
    response: Reservation
    event: Reservation

    def another(self) -> Memory:
        """Return empty reservations for another operation of the same caller."""
        return Memory(self.request.another(), self.response.another(), self.event.another())


class Context:
    """Access to the core, and the state of one operation."""

    def __init__(self, core: Core, max_objects: int, memory: Memory) -> None:
        self.core = core
        self.max_objects = max_objects
        self.memory = memory
        self.loaders = Loaders(core)
        self.overflow: InvalidRequest | None = None
        """The error, if the response exceeds the limit of objects."""
        self.decoding = asyncio.Lock()
        """Held while one key or value is decoded."""
        self.decoded_weight = 0
        """The total weight of the decoded keys and values in the response."""
        self.decoding_failure: FacadeError | None = None
        """The error if decoding is currently impossible, reused for all further keys and values."""
        self.lookup_failed = False
        """Whether the error is about a schema that was not known: known ones can still be decoded."""
        self.fetched_bytes = 0
        """Total bytes returned by the fetches of this operation."""
        self._objects = 0
        self._selected: SelectedObjects | None = None
        self._too_many = too_many_objects(max_objects)

    def selected(self, info: GraphQLResolveInfo[Any]) -> SelectedObjects:
        """Return the objects that the operation selects."""
        if self._selected is None:
            self._selected = SelectedObjects(info)
        return self._selected

    @property
    def objects_left(self) -> int:
        """How many more objects the response may have."""
        return self.max_objects - self._objects

    def count_object(self) -> None:
        """Count an object of the response. Raises InvalidRequest if there are too many."""
        self._objects += 1
        if self._objects > self.max_objects:
            self.overflow = self.overflow or self._too_many
            raise self._too_many

    def counted(self) -> tuple[int, InvalidRequest | None]:
        """Return the current count, for :meth:`count_again`."""
        return self._objects, self.overflow

    def count_again(self, counted: tuple[int, InvalidRequest | None]) -> None:
        """Reset the count to an earlier state, because an entry is completed again."""
        self._objects, self.overflow = counted

    def start_event(self, alone: Record | None = None) -> None:
        """Reset the counts for the next event of a subscription; ``alone`` is its record if it has only one."""
        # Not the record itself, which may be large.
        self._too_many = too_many_objects(self.max_objects, alone)
        self._objects = 0
        self.overflow = None
        self.decoded_weight = 0
        self.decoding_failure = None
        self.lookup_failed = False
        self.forget()

    def forget(self) -> None:
        """Discard loaded data, so that later fields load it again."""
        self.loaders = Loaders(self.core)

    async def run(self, identifier: str, request: Request[Answer]) -> Answer:
        """Run an operation for a single field, without a loader."""
        return await self.core.run(identifier, request, CALLER)

    async def change(self, identifier: str, request: Request[Answer]) -> Answer:
        """Run an operation that changes something, and discard loaded data."""
        if isinstance(request, _OF_INSTANCES):
            await current().taken((request.group, request.instance))
        try:
            return await self.run(identifier, request)
        finally:
            self.forget()

    async def fetch(self, identifier: str, request: FetchRecords, key: str) -> list[FetchedRecord]:
        """Fetch records for a field of the response. They count as consumed once the caller has received it."""
        await current().taken((request.group, request.instance))
        try:
            async with self.memory.request.given_back():
                return await current().fetch(self.core, identifier, request, CALLER, key)
        finally:
            self.forget()

    async def format_of(self, reference: ConsumerRef) -> Format:
        """Return the format of a consumer instance, for a fetch that names none."""
        return await self.core.format_of(reference.group, reference.instance, CALLER)

    async def consumer(self, reference: ConsumerRef) -> ConsumerInstance:
        """Return the settings of a consumer instance. Raises ConsumerInstanceNotFound."""
        # The catalogue has no operation for reading an instance, so use the access rules of its subscription.
        request = GetConsumerInstance(reference.group, reference.instance)
        return await self.run("api.v2.consumers.get-subscription", request)


Info = strawberry.Info[Context, None]
