"""The leader: one worker of all gateways of the cluster, elected by a consumer group and fenced by a transactional id.

The member of the group that gets the partition of the state topic leads. It opens the transactional writer, which
fences the writer of the leader before it, reads the topic to its end, and then makes changes, one at a time. A leader
that was paused may still believe that it leads; its next write fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import msgspec

from kafka_facade.core.errors import FacadeError, ServerError, StateUnusable, UnsupportedVersion
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.state.handlers import ChangeRequest, Done, Handlers
from kafka_facade.core.state.port import StateKafka, TransactionalWriter, WriterLost
from kafka_facade.core.state.records import (
    AnswerRecord,
    LeaderRecord,
    RequestRecord,
    StateRecord,
    Writes,
    encode,
    key_of,
)
from kafka_facade.core.state.tail import Tail
from kafka_facade.core.state.topic import StateTopic
from kafka_facade.core.state.view import StateView

logger = logging.getLogger("kafka_facade.core")

# The broker's default minimum of the session timeout, and a third of it.
_MEMBERSHIP: Final = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "2000",
    # librdkafka would take another worker with the same id for this one.
    "group.instance.id": "",
}
_LOOK_SECONDS: Final = 0.25
_FAILED_SECONDS: Final = 1.0
_OPEN_SECONDS: Final = 20.0
_WRITE_SECONDS: Final = 10.0
_CHANGE_SECONDS: Final = 10.0
_BACKGROUND_SECONDS: Final = 5.0
_LEAVE_SECONDS: Final = 5.0
# How long requests and answers stay in the topic after they are done.
_KEPT_MS: Final = 600_000
_MOST_WAITING: Final = 100


@dataclass(slots=True)
class _Local:
    """A change that this worker asks for."""

    identifier: str
    request: RequestRecord
    begun: asyncio.Future[bool]
    """Whether this worker has made the change."""


class Leadership:
    """Takes part in the election, and leads when elected. ``view`` and ``write`` are for the handlers."""

    def __init__(self, kafka: StateKafka, topic: StateTopic, tail: Tail, handlers: Handlers) -> None:
        self._kafka = kafka
        self._topic = topic
        self._tail = tail
        self._handlers = handlers
        self._member: ConsumerPort | None = None
        self._writer: TransactionalWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._local: deque[_Local] = deque()
        self._background_due = 0.0
        self.failure: FacadeError | None = None
        """Why this worker cannot lead although it is elected."""

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self._topic.name

    @property
    def view(self) -> StateView:
        """The state."""
        return self._tail.view

    @property
    def leads(self) -> bool:
        """Whether this worker leads, as far as it knows."""
        return self._writer is not None

    async def open(self) -> None:
        """Join the election. Raises TooManyRequests, and other errors of creating a consumer."""
        self._member = await self._kafka.consumers.create(
            group=self._topic.name, auto_offset_reset="latest", auto_commit=False, overrides=_MEMBERSHIP
        )
        await self._member.subscribe([self._topic.name])
        self._tail.on_records = self._kick.set
        self._task = asyncio.create_task(self._run(self._member), name="state leader")

    async def close(self) -> None:
        """Leave the election, so that another worker leads at once; never raises."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._step_down()
        if self._member is not None:
            await self._member.close(_LEAVE_SECONDS)

    async def change(self, identifier: str, request: RequestRecord) -> bool:
        """Make a change, if this worker leads; return whether it was made. Its answer is in the view then.

        A change that was begun continues if the caller is cancelled.
        """
        if not self.leads or len(self._local) >= _MOST_WAITING:
            return False
        waiting = _Local(identifier, request, asyncio.get_running_loop().create_future())
        self._local.append(waiting)
        self._kick.set()
        return await waiting.begun

    async def write(self, records: Writes) -> None:
        """Write records in one transaction, and wait until the view has them. Raises WriterLost, StateUnusable."""
        self._check_version()
        if self._writer is None:
            raise WriterLost("another worker leads")
        if not records:
            return
        encoded = {key: None if record is None else encode(record) for key, record in records.items()}
        last = await self._writer.write(encoded, _WRITE_SECONDS)
        await self._tail.until(lambda: self._tail.position > last, _WRITE_SECONDS)

    async def refresh(self) -> None:
        """Wait until the view has all that is written now, by any worker."""
        await self._tail.reach(await self._topic.end(_WRITE_SECONDS), _WRITE_SECONDS)

    def hurry(self, seconds: float) -> None:
        """Let the background work run again after this time, if that is sooner than usual."""
        self._background_due = min(self._background_due, time.monotonic() + seconds)

    def check(self) -> None:
        """Raise StateUnusable if nothing may be written, or the failure of this worker as the leader."""
        self._check_version()
        if self.failure is not None:
            raise copy.copy(self.failure)

    def _check_version(self) -> None:
        if (newer := self.view.newer) is not None:
            raise StateUnusable.newer(self._topic.name, newer.key, newer.offset, newer.version)

    async def _run(self, member: ConsumerPort) -> None:
        while True:
            self._kick.clear()
            pause = _LOOK_SECONDS
            try:
                await self._turn(member)
                self.failure = None
            except WriterLost as error:
                logger.warning("this worker does not lead any more: %s", error)
                await self._step_down()
                pause = _FAILED_SECONDS
            except FacadeError as error:
                if self.failure is None or error.message != self.failure.message:
                    logger.error("the state topic %s can't be written: %s", self._topic.name, error)
                self.failure = error.with_traceback(None)
                self._tail.tell()
                await self._step_down()
                pause = _FAILED_SECONDS
            except Exception:
                logger.exception("leading failed unexpectedly")
                await self._step_down()
                pause = _FAILED_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._kick.wait()

    async def _turn(self, member: ConsumerPort) -> None:
        elected = bool(member.assignment())
        # The partition may have gone to another member and come back.
        if self.leads and (member.take_revoked() or not elected):
            logger.info("another worker leads now")
            await self._step_down()
        if not elected:
            # Reports it if the member may not join.
            await member.poll(1, 0)
            return
        if not self.leads:
            member.take_revoked()
            await self._take_over()
        while self._local:
            waiting = self._local.popleft()
            if not waiting.begun.done():
                try:
                    await self._make(waiting.identifier, waiting.request)
                except BaseException:
                    self._settle(waiting, made=False)
                    raise
                self._settle(waiting, made=True)
        for identifier, request in list(self.view.all(RequestRecord).items()):
            if self.view.get(AnswerRecord, identifier) is None and request.deadline_ms > _now_ms():
                await self._make(identifier, request)
        if time.monotonic() >= self._background_due:
            self._background_due = time.monotonic() + _BACKGROUND_SECONDS
            if self._writer is not None:
                self._writer.serve()
            await self._work_in_background()

    async def _take_over(self) -> None:
        name = self._topic.name
        # A gateway that does not understand the state must not fence the one that does.
        await self.refresh()
        self._check_version()
        writer = await self._kafka.transactions.open_writer(name, name, _OPEN_SECONDS)
        self._writer = writer
        await self.refresh()
        await self.write({key_of(LeaderRecord): LeaderRecord(node=_node(), since_ms=_now_ms())})
        self._background_due = 0.0
        self._tail.leads = True
        logger.info("this worker leads: it writes the state topic %s", name)

    async def _step_down(self) -> None:
        writer, self._writer = self._writer, None
        self._tail.leads = False
        while self._local:
            self._settle(self._local.popleft(), made=False)
        if writer is not None:
            await writer.close()

    def _settle(self, waiting: _Local, *, made: bool) -> None:
        if not waiting.begun.done():
            waiting.begun.set_result(made)

    async def _make(self, identifier: str, request: RequestRecord) -> None:
        """Make a change and write its answer, unless an earlier leader has done so."""
        if self.view.get(AnswerRecord, identifier) is not None:
            return
        done = await self._outcome(identifier, request)
        if isinstance(done, FacadeError):
            answer = AnswerRecord(at_ms=_now_ms(), reason=done.reason, message=done.own_message)
            records: dict[str, StateRecord | None] = {}
        else:
            answer = AnswerRecord(at_ms=_now_ms(), body=msgspec.Raw(msgspec.json.encode(done.answer)))
            records = dict(done.records)
        await self.write(records | {key_of(AnswerRecord, identifier): answer})

    async def _outcome(self, identifier: str, request: RequestRecord) -> Done | FacadeError:
        change = self._handlers.changes.get(request.kind)
        if change is None:
            return UnsupportedVersion(f"The gateway that leads does not know {request.kind}; update it.")
        left = (request.deadline_ms - _now_ms()) / 1000
        try:
            return await change(self, ChangeRequest(identifier, bytes(request.body), min(left, _CHANGE_SECONDS)))
        except (WriterLost, StateUnusable):
            raise
        except FacadeError as error:
            return error.with_traceback(None)
        except Exception:
            logger.exception("the change %s failed unexpectedly", request.kind)
            return ServerError()

    async def _work_in_background(self) -> None:
        for work in self._handlers.background:
            try:
                await work(self)
            except FacadeError as error:
                logger.warning("background work on the state failed, and is tried again: %s", error)
            except WriterLost:
                raise
            except Exception:
                # It must not keep this worker from making changes.
                logger.exception("background work on the state failed unexpectedly")
        await self._forget_old()

    async def _forget_old(self) -> None:
        """Delete requests and answers that no call waits for any more."""
        before = _now_ms() - _KEPT_MS
        old = [key_of(RequestRecord, name) for name, entry in self._requests() if entry.deadline_ms < before]
        old += [
            key_of(AnswerRecord, name) for name, entry in self.view.all(AnswerRecord).items() if entry.at_ms < before
        ]
        if old:
            await self.write(dict.fromkeys(old))

    def _requests(self) -> list[tuple[str, RequestRecord]]:
        return list(self.view.all(RequestRecord).items())


def _node() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _now_ms() -> int:
    return round(time.time() * 1000)
