"""Delivery of responses: their memory, and records that count as consumed once the caller has received the response.

An operation has its records long before its response is written. Until then each fetch stays open in a task. If the
response is not delivered, the instance returns the same records again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, OperationType

from kafka_facade.core.call import Caller
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.instances.model import FetchRecords
from kafka_facade.core.outgoing import Message, Outgoing
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.records.sizes import stored_bytes
from kafka_facade.web.scope import until_taken
from kafka_facade_graphql.errors import extensions_of, message_of

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Instance = tuple[str, str]


@dataclass(slots=True)
class _Held:
    """An open fetch, what tells it that the response is delivered, and the key of its field in the response."""

    task: asyncio.Task[list[FetchedRecord]]
    taken: asyncio.Future[None]
    key: str


class HandOvers:
    """The open fetches of one response, and its memory.

    An instance's fetch ends before the operation uses the instance again.
    """

    def __init__(self) -> None:
        self._held: dict[_Instance, _Held] = {}
        self._failed: list[tuple[str, FacadeError]] = []
        # One for the whole response, because a fetch must not wait for what an earlier one holds.
        self._memory: Message | None = None
        self._fetched_bytes = 0
        self.kind = OperationType.QUERY
        """The type of the operation."""

    async def fetch(
        self, core: Core, identifier: str, request: FetchRecords, caller: Caller, key: str
    ) -> list[FetchedRecord]:
        """Fetch like :meth:`kafka_facade.core.instances.operations.Consumers.fetch`, for a field of the response."""
        found: asyncio.Future[list[FetchedRecord]] = asyncio.get_running_loop().create_future()
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hand_over(records: list[FetchedRecord]) -> None:
            self._fetched_bytes += stored_bytes(records)
            await self._memory_in(core.pipeline.overload.outgoing).grow(self._fetched_bytes)
            found.set_result(records)
            await taken

        async def run() -> list[FetchedRecord]:
            with core.admitted(identifier, caller) as call:
                call.hand_over = hand_over
                return await core.perform(call, request)

        task = asyncio.create_task(run(), name="fetch of an answer")
        try:
            await asyncio.wait({task, found}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancelled(task)
            raise
        if not found.done():
            return task.result()
        self._held[request.group, request.instance] = _Held(task, taken, key)
        return found.result()

    async def taken(self, instance: _Instance | None = None) -> None:
        """Complete all fetches after delivery, or one instance's before the operation continues with it."""
        for held in list(self._held) if instance is None else [instance]:
            if held in self._held:
                fetch = self._held.pop(held)
                if not fetch.taken.done():
                    fetch.taken.set_result(None)
                await asyncio.gather(fetch.task, return_exceptions=True)
                self._note(fetch)

    def withdraw(self, response: Any) -> None:
        """Replace the results of fetches that have failed since, because their instance has ended, with the errors.

        ``response`` has ``data`` and ``errors`` as they are sent. Nothing can replace what is sent already.
        """
        for held, fetch in list(self._held.items()):
            if fetch.task.done():
                self._note(self._held.pop(held))
        failed, self._failed = self._failed, []
        for key, error in failed:
            if response.get("data"):
                response["data"][key] = None
                shown = GraphQLError(message_of(error), path=[key], extensions=extensions_of(error))
                response["errors"] = [*(response.get("errors") or ()), shown.formatted]

    def _note(self, fetch: _Held) -> None:
        if not fetch.task.cancelled() and isinstance(error := fetch.task.exception(), FacadeError):
            self._failed.append((fetch.key, error))

    async def give_back(self) -> None:
        """Abort all fetches, because the response is not delivered."""
        while self._held:
            await _cancelled(self._held.popitem()[1].task)

    def _memory_in(self, outgoing: Outgoing) -> Message:
        if self._memory is None:
            self._memory = outgoing.message()
        return self._memory

    async def sending_begins(self, outgoing: Outgoing, size: int) -> None:
        """Hold the memory of the encoded response, of ``size`` bytes, which the caller can take from now on.

        Raises TooManyRequests if there is none for long, unless the operation is a mutation, which is done already.
        """
        if self.kind is OperationType.SUBSCRIPTION:
            # Its records hold memory already, and it must not wait for itself.
            return
        memory = self._memory_in(outgoing)
        await memory.grow(size, copies=1, anyway=self.kind is OperationType.MUTATION)
        memory.hand_over()

    def release(self) -> None:
        """Give the memory back: the caller has taken the response, or never will."""
        if self._memory is not None:
            self._memory.release()

    def before_the_end(self, scope: Mapping[str, Any], send: _Send) -> _Send:
        """Wrap ``send`` to send the end of a response only after the network has taken the rest."""

        async def send_and_wait(message: _Message) -> None:
            if self._held and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await until_taken(scope)
                await self.taken()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return send_and_wait


async def _cancelled(task: asyncio.Task[list[FetchedRecord]]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


_current: ContextVar[HandOvers] = ContextVar("hand-overs")


def current() -> HandOvers:
    """Return the open fetches of the current response."""
    return _current.get()


@asynccontextmanager
async def handing_over() -> AsyncIterator[HandOvers]:
    """Scope of one response; at the end of the block, its memory is free, and fetches that are open are aborted."""
    made = HandOvers()
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
        try:
            await made.give_back()
        finally:
            made.release()
