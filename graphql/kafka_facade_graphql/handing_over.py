"""Records of consumer instances that an answer holds: they count as returned once the caller has the answer.

An operation has its records long before its answer is written. Until then the fetches that have read them go on, each
in a task; the instance returns the same records again where the answer isn't taken.
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
    """The fetches of one answer. Those of an instance end before the operation goes on with that instance."""

    def __init__(self) -> None:
        self._held: dict[_Instance, tuple[asyncio.Task[list[FetchedRecord]], asyncio.Future[None]]] = {}

    async def fetch(
        self, facade: Facade, identifier: str, request: FetchRecords, caller: Caller
    ) -> list[FetchedRecord]:
        """What :meth:`kafka_facade.core.instances.operations.Consumers.fetch` returns, with its errors."""
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
        """The caller has the answer, or goes on as if it had the records of this instance."""
        for held in list(self._held) if instance is None else [instance]:
            if held in self._held:
                task, taken = self._held.pop(held)
                if not taken.done():
                    taken.set_result(None)
                # An instance that has ended meanwhile is no error of an answer that is there.
                await asyncio.gather(task, return_exceptions=True)

    async def give_back(self) -> None:
        """The caller doesn't get the answer."""
        while self._held:
            await _cancelled(self._held.popitem()[1][0])

    def before_the_end(self, scope: Mapping[str, Any], send: _Send) -> _Send:
        """Send, but the end of an answer only once the caller's system has the rest."""

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
    """Those of the answer that is being made."""
    return _current.get()


@asynccontextmanager
async def handing_over() -> AsyncIterator[HandOvers]:
    """Make an answer; what wasn't taken by the end of the block is given back."""
    made = HandOvers()
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
        await made.give_back()
