"""The timers of an HTTP/1.1 connection: how long it may be idle, and how long a body may take to arrive."""

from __future__ import annotations

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kafka_facade.core.arrivals import Arrivals
from kafka_facade.core.overload import MESSAGE
from kafka_facade.web.cycle import Cycle
from kafka_facade.web.reading import Reading
from kafka_facade.web.refusal import Refusal, refusal

_BODY_TIMEOUT = refusal(HTTPStatus.REQUEST_TIMEOUT, "the body took too long.")
NO_MEMORY: Final = refusal(HTTPStatus.TOO_MANY_REQUESTS, MESSAGE)


class Place(Enum):
    """The parser's state: what the next bytes belong to."""

    BETWEEN = 1
    HEAD = 2
    BODY = 3
    ELSEWHERE = 4
    """The connection was upgraded to another protocol."""


class TimedProtocol(HttpToolsProtocol):
    """One connection with its timers. The parser sets ``_place``, and starts the body's timer."""

    body_seconds: float
    arrivals: Arrivals
    cycle: Cycle
    flow: Reading
    _place = Place.BETWEEN
    _body_timer: asyncio.TimerHandle | None = None

    def _refuse(self, refusal: Refusal) -> None:
        """Reject the current request and close the connection."""
        raise NotImplementedError

    def _start_body_timer(self) -> None:
        """Start the timer, unless it runs."""
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(self.body_seconds, self._body_timed_out)
            if not self.cycle.streamed:
                self.arrivals.begin(self, self._cut_off)

    def _body_timed_out(self) -> None:
        self._body_timer = None
        if self._place is not Place.BODY:
            return
        # The application may be slow to read, or the request waits for earlier ones.
        patient = self.flow.read_paused or self.cycle.streamed
        if patient and not self.cycle.response_complete:
            self._body_timer = self.loop.call_later(self.body_seconds, self._body_timed_out)
        else:
            self._refuse(_BODY_TIMEOUT)

    def _cut_off(self) -> None:
        """Reject a request whose body is incomplete, because memory is short."""
        if self._place is Place.BODY:
            self._refuse(NO_MEMORY)

    def _stop_body_timer(self) -> None:
        self.arrivals.end(self)
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _rearm(self, timer: asyncio.TimerHandle | None, waiting: bool) -> None:
        """Restart the idle timer after data.

        ``waiting`` for the rest of a request head keeps the old timer: a slow head must not extend its own deadline.
        """
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._place is not Place.ELSEWHERE and not self.transport.is_closing():
            if timer is not None and waiting:
                self.timeout_keep_alive_task = timer
                return
            self._arm()
        if timer is not None:
            timer.cancel()

    def _arm(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
