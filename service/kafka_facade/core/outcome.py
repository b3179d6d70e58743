"""How a call ended, for the stages of the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from kafka_facade.core.errors import FacadeError, ServerError

OK = "OK"
CANCELLED = "CANCELLED"


class CallerGone(Exception):
    """The caller can no longer get a response."""


class Usage(Struct, gc=False):
    """Records that a call has stored or handed to its caller, and the ``size`` of their keys and values in bytes."""

    records: int = 0
    size: int = 0

    def add(self, payloads: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Count records by their keys and values."""
        for key, value in payloads:
            self.records += 1
            self.size += len(key or b"") + len(value or b"")


class Outcome(Struct, frozen=True, gc=False):
    """The outcome of a call. ``seconds`` are since its admission; ``records`` and ``size`` as in :class:`Usage`.

    ``code`` is ``OK``, ``CANCELLED`` if the caller has gone, or the error's reason on gRPC and GraphQL.
    """

    code: str
    seconds: float
    records: int
    size: int


def code_of(error: BaseException | None) -> str:
    """Return the code of a call that ended with ``error``."""
    if error is None:
        return OK
    if isinstance(error, FacadeError):
        return error.reason
    gone = isinstance(error, (asyncio.CancelledError, GeneratorExit, CallerGone))
    return CANCELLED if gone else ServerError.reason
