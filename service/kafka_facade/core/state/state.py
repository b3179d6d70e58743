"""The state as operations use it: reads on any worker, and changes that the leader makes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from kafka_facade.core.errors import (
    ERRORS_BY_REASON,
    FacadeError,
    KafkaTimeout,
    ServerError,
    StateUnusable,
    TopicNotFound,
    Unavailable,
)
from kafka_facade.core.records.port import ProducerPort, SerializedRecord
from kafka_facade.core.state.handlers import Handlers
from kafka_facade.core.state.leadership import Leadership
from kafka_facade.core.state.port import StateKafka
from kafka_facade.core.state.records import AnswerRecord, RequestRecord, encode, key_of
from kafka_facade.core.state.tail import Tail
from kafka_facade.core.state.topic import PARTITION, StateTopic
from kafka_facade.core.state.view import StateView

_Answer = TypeVar("_Answer", bound=Struct)

logger = logging.getLogger("kafka_facade.core")

# Interval (s) between looks for a topic that another gateway may have created, or that is lost.
_LOOK_SECONDS: Final = 30.0
_LOST_SECONDS: Final = 1.0
# How long (s) a topic that was there must be unknown before it counts as deleted: a broker may not know it yet.
_GONE_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.1
# The leader writes each 10 s. If nothing has been read for longer (s), the topic may be another one now.
_SILENT_SECONDS: Final = 15.0


class _Session:
    """The clients for a topic that exists."""

    def __init__(self, kafka: StateKafka, topic: StateTopic, handlers: Handlers) -> None:
        self.tail = Tail(kafka.consumers, topic.name, StateView(handlers.records))
        self.leadership = Leadership(kafka, topic, self.tail, handlers)

    async def open(self) -> None:
        try:
            await self.tail.open()
            await self.leadership.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.leadership.close()
        await self.tail.close()


class State:
    """The state in one topic. Nothing is opened before the topic exists: most gateways never need it."""

    def __init__(self, kafka: StateKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = StateTopic(kafka, topic)
        self.handlers = Handlers()
        """What the families do; complete before :meth:`start`."""
        self._session: _Session | None = None
        self._changing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self._looked_at = 0.0
        self._was_there = False

    async def start(self) -> None:
        """Begin to look for the topic."""
        self._watch = asyncio.create_task(self._look(), name="state")

    async def close(self) -> None:
        """Leave the election and stop reading; never raises."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        async with self._changing:
            await self._end()

    async def view(self, timeout: float) -> StateView:
        """Return the state as of now: with all changes that were done before this call, on any gateway.

        Raises StateUnusable, KafkaAuthorizationFailed, KafkaTimeout, and other errors of Kafka.
        """
        # Without the topic a gateway that creates it would deny what another one has just written.
        session = await self._fresh(time.monotonic() + timeout, create=self.handlers.needs_topic)
        return StateView(()) if session is None else session.tail.view

    async def following(self, view: StateView, seconds: float, timeout: float) -> StateView:
        """Wait until a view may have changed, for at most ``seconds``; return it, or the one in its place.

        It costs Kafka nothing: a view is at most half a second behind the topic. ``timeout`` bounds reading the topic
        again if it was lost. Raises the errors of :meth:`view`.
        """
        session = self._session
        if session is None or session.tail.view is not view or session.tail.is_lost:
            return await self.view(timeout)
        await session.tail.advance(seconds)
        now = time.monotonic()
        if now - max(session.tail.read_at, self._looked_at) > _SILENT_SECONDS:
            self._looked_at = now
            return await self.view(timeout)
        return view

    async def change(self, kind: str, body: Struct, answer: type[_Answer], timeout: float) -> _Answer:
        """Let the leader make a change, and return its answer.

        After KafkaTimeout the change may still be made. Raises the errors of the change, StateUnusable,
        KafkaAuthorizationFailed, and other errors of Kafka.
        """
        deadline = time.monotonic() + timeout
        identifier = uuid.uuid4().hex
        request = RequestRecord(
            kind=kind,
            deadline_ms=round((time.time() + timeout) * 1000),
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        while (session := await self._fresh(deadline, create=True)) is not None:
            with contextlib.suppress(TopicNotFound):
                return _read(await _answer(session, self._kafka.producer, identifier, request, deadline), answer)
            await self._drop(session)
            await asyncio.sleep(min(_RETRY_SECONDS, _left(deadline)))
        raise KafkaTimeout

    async def _fresh(self, deadline: float, *, create: bool) -> _Session | None:
        """Return the session with a view as of now; None if there is no topic."""
        while (session := await self._current(deadline, create=create)) is not None:
            with contextlib.suppress(TopicNotFound):
                before = session.tail.position
                end = await self._topic.end(_left(deadline))
                # A topic that was deleted and created again has fewer records.
                if end >= before:
                    await session.tail.reach(end, _left(deadline))
                    return session
            await self._drop(session)
            await asyncio.sleep(min(_RETRY_SECONDS, _left(deadline)))
        return None

    async def _current(self, deadline: float, *, create: bool) -> _Session | None:
        """Return the session, opening it if the topic exists; with ``create`` the topic is created."""
        try:
            async with asyncio.timeout(_left(deadline)), self._changing:
                if self._closed:
                    raise Unavailable("The server is shutting down.")
                if self._session is not None and self._session.tail.is_lost:
                    await self._end()
                if self._session is None:
                    if not create and await self._is_gone(deadline):
                        self._was_there = False
                        return None
                    if create and not await self._topic.exists(_left(deadline)):
                        await self._topic.create(_left(deadline))
                    session = _Session(self._kafka, self._topic, self.handlers)
                    await session.open()
                    self._session = session
                    self._was_there = True
                return self._session
        except TimeoutError:
            raise KafkaTimeout from None

    async def _is_gone(self, deadline: float) -> bool:
        """Return whether there is no topic; one that was there is looked for more than once."""
        until = time.monotonic() + (_GONE_SECONDS if self._was_there else 0)
        while not await self._topic.exists(_left(deadline)):
            if time.monotonic() >= until:
                return True
            await asyncio.sleep(min(_RETRY_SECONDS, _left(deadline)))
        return False

    async def _drop(self, session: _Session) -> None:
        """Close a session whose topic is lost, unless another call has done so."""
        async with self._changing:
            if self._session is session:
                logger.warning("the state topic %s is not the one that was read before; reading it again", self.topic)
                await self._end()

    async def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _look(self) -> None:
        """Open the session once the topic exists, and again after it was lost; runs until cancelled."""
        said = ""
        while True:
            try:
                await self._current(time.monotonic() + _CHECK_SECONDS, create=self.handlers.needs_topic)
                said = ""
            except FacadeError as error:
                if error.message != said:
                    said = error.message
                    # Most gateways need no state, and then no rights on the topic.
                    level = logging.ERROR if isinstance(error, StateUnusable) else logging.INFO
                    logger.log(level, "the state topic %s can't be used: %s", self.topic, said)
            except Exception:
                logger.exception("looking for the state topic failed unexpectedly")
            is_idle = self._session is None and not self.handlers.needs_topic
            await asyncio.sleep(_LOOK_SECONDS if is_idle else _LOST_SECONDS)

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self._topic.name


async def _answer(
    session: _Session, producer: ProducerPort, identifier: str, request: RequestRecord, deadline: float
) -> AnswerRecord:
    """Make a change here if this worker leads, or else ask the leader, and return the answer."""
    tail, leadership = session.tail, session.leadership
    leadership.check()
    try:
        async with asyncio.timeout(_left(deadline)):
            made = await leadership.change(identifier, request)
    except TimeoutError:
        raise KafkaTimeout from None
    if not made:
        await _send(producer, leadership.topic, identifier, request, deadline)
    while (found := tail.view.get(AnswerRecord, identifier)) is None:
        try:
            leadership.check()
        except FacadeError:
            # Otherwise the change would be made later, although it has failed.
            await _send(producer, leadership.topic, identifier, None, deadline)
            raise
        await tail.until(
            lambda: leadership.failure is not None or tail.view.get(AnswerRecord, identifier) is not None,
            _left(deadline),
        )
    return found


async def _send(
    producer: ProducerPort, topic: str, identifier: str, request: RequestRecord | None, deadline: float
) -> None:
    """Write a request, or withdraw it."""
    value = None if request is None else encode(request)
    record = SerializedRecord(key_of(RequestRecord, identifier).encode(), value, PARTITION, [], None)
    try:
        async with asyncio.timeout(_left(deadline)):
            [delivered] = await (await producer.submit(topic, [record]))
    except TimeoutError:
        raise KafkaTimeout from None
    if isinstance(delivered, FacadeError):
        raise delivered


def _read(record: AnswerRecord, answer: type[_Answer]) -> _Answer:
    if record.reason is not None:
        raise ERRORS_BY_REASON.get(record.reason, ServerError)(record.message)
    return msgspec.json.decode(record.body, type=answer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise KafkaTimeout
    return left
