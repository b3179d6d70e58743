"""What the resolvers of one GraphQL operation share."""

from __future__ import annotations

import asyncio

import strawberry

from kafka_facade.core.errors import FacadeError, InvalidRequest
from kafka_facade.core.facade import Facade
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
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.request import Answer, Request
from kafka_facade_graphql.handing_over import current
from kafka_facade_graphql.loaders import CALLER, Loaders

# Changes of a consumer instance.
_OF_INSTANCES = ConsumerRef | SubscribeConsumer | AssignConsumer | ConsumerPartitions | CommitOffsets | SeekConsumer


class Context:
    """The facade, and what the operation has loaded through it so far."""

    def __init__(self, facade: Facade, max_objects: int) -> None:
        self.facade = facade
        self.max_objects = max_objects
        self.loaders = Loaders(facade)
        self.overflow: InvalidRequest | None = None
        """Why the answer is given up, once it holds too many objects."""
        self.decoding = asyncio.Lock()
        """Held while one key or value is decoded."""
        self.decoded_weight = 0
        """What the keys and values of the answer have become."""
        self.decoding_failure: FacadeError | None = None
        """Why no key or value of the answer can be decoded now."""
        self.fetched_bytes = 0
        """How many bytes consumer instances have returned, for an answer that holds what several of them return."""
        self._objects = 0

    def count_object(self) -> None:
        """Count an object of the answer; InvalidRequest once there are too many."""
        self._objects += 1
        if self._objects > self.max_objects:
            message = f"The answer would hold more than {self.max_objects} objects: ask for less at a time."
            error = InvalidRequest(message)
            self.overflow = self.overflow or error
            raise error

    def counted(self) -> tuple[int, InvalidRequest | None]:
        """What has been counted so far, for :meth:`count_again`."""
        return self._objects, self.overflow

    def count_again(self, counted: tuple[int, InvalidRequest | None]) -> None:
        """Forget what was counted since: it is completed once more."""
        self._objects, self.overflow = counted

    def start_event(self) -> None:
        """Begin the next event of a subscription: an answer of its own."""
        self._objects = 0
        self.overflow = None
        self.decoded_weight = 0
        self.decoding_failure = None
        self.forget()

    def forget(self) -> None:
        """Load everything anew from here on."""
        self.loaders = Loaders(self.facade)

    async def run(self, identifier: str, request: Request[Answer]) -> Answer:
        """Run an operation for one field alone."""
        return await self.facade.run(identifier, request, CALLER)

    async def change(self, identifier: str, request: Request[Answer]) -> Answer:
        """Run an operation that changes something; what was loaded before it is loaded anew."""
        if isinstance(request, _OF_INSTANCES):
            await current().taken((request.group, request.instance))
        try:
            return await self.run(identifier, request)
        finally:
            self.forget()

    async def fetch(self, identifier: str, request: FetchRecords) -> list[FetchedRecord]:
        """Fetch records, which count as returned once the caller has the answer."""
        await current().taken((request.group, request.instance))
        try:
            return await current().fetch(self.facade, identifier, request, CALLER)
        finally:
            self.forget()

    async def consumer(self, reference: ConsumerRef) -> ConsumerInstance:
        """The settings of a consumer instance; ConsumerInstanceNotFound."""
        # The catalogue has no operation that reads an instance as a whole: it is as open as its subscription.
        request = GetConsumerInstance(reference.group, reference.instance)
        return await self.run("api.v2.consumers.get-subscription", request)


Info = strawberry.Info[Context, None]
