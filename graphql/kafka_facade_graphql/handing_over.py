"""Delivery of records of consumer instances, which count as consumed once the caller has received the response.

An operation has its records long before its response is written. Until then each fetch stays open in a task. If the
response is not delivered, the instance returns the same records again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from kafka_facade.core.call import Caller
from kafka_facade.core.facade import Facade
from kafka_facade.core.instances.model import FetchRecords
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.web.scope import until_taken

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Instance = tuple[str, str]


class HandOvers:
    """The open fetches of one response. An instance's fetch ends before the operation uses the instance again."""

    def __init__(self) -> None:
        self._held: dict[_Instance, tuple[asyncio.Task[list[FetchedRecord]], asyncio.Future[None]]] = {}

    async def fetch(
        self, facade: Facade, identifier: str, request: FetchRecords, caller: Caller
    ) -> list[FetchedRecord]:
        """Fetch like :meth:`kafka_facade.core.instances.operations.Consumers.fetch`."""
        found: asyncio.Future[list[FetchedRecord]] = asyncio.get_running_loop().create_future()
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hand_over(records: list[FetchedRecord]) -> None:
            found.set_result(records)
            await taken

        async def run() -> list[FetchedRecord]:
            with facade.admitted(identifier, caller) as call:
                call.hand_over = hand_over
                return await facade.perform(call, request)

        task = asyncio.create_task(run(), name="fetch of an answer")
        try:
            await asyncio.wait({task, found}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancelled(task)
            raise
        if not found.done():
            return task.result()
        self._held[request.group, request.instance] = task, taken
        return found.result()

    async def taken(self, instance: _Instance | None = None) -> None:
        """Complete all fetches after delivery, or one instance's before the operation continues with it."""
        for held in list(self._held) if instance is None else [instance]:
            if held in self._held:
                task, taken = self._held.pop(held)
                if not taken.done():
                    taken.set_result(None)
                # The response is already delivered, so ignore that an instance has ended meanwhile.
                await asyncio.gather(task, return_exceptions=True)

    async def give_back(self) -> None:
        """Abort all fetches, because the response is not delivered."""
        while self._held:
            await _cancelled(self._held.popitem()[1][0])

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
    """Scope of one response; fetches that are still open at the end of the block are aborted."""
    made = HandOvers()
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
        await made.give_back()
