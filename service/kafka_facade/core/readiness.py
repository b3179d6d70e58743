"""Readiness: a background task checks whether Kafka answers, for gRPC's health service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from kafka_facade.core.clusters.port import ClusterPort
from kafka_facade.core.errors import FacadeError, KafkaAuthorizationFailed

logger = logging.getLogger("kafka_facade.core")

# Timeout (s) of a check, and the intervals (s) between checks after a success and after a failure.
_ANSWER_SECONDS = 5.0
_READY_SECONDS = 5.0
_NOT_READY_SECONDS = 1.0
# How long (s) startup waits for the first result.
_FIRST_SECONDS = 1.0


class Readiness:
    """Checks periodically whether Kafka answers."""

    def __init__(self, admin: ClusterPort) -> None:
        self._admin = admin
        self._ready = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether Kafka answered the last check."""
        return self._ready

    async def changes(self) -> AsyncGenerator[bool, None]:
        """Yield the current state, then each new one; a slow consumer sees only the latest."""
        last: bool | None = None
        while True:
            changed = self._changed
            if self._ready is not last:
                last = self._ready
                yield last
            else:
                await changed.wait()

    async def start(self) -> None:
        """Start checking; return after the first result, or after a short time without one."""
        self._task = asyncio.create_task(self._run(), name="readiness")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                await self._changed.wait()

    async def close(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            ready = await self._answers()
            if ready is not self._ready:
                level, state = (logging.INFO, "reachable") if ready else (logging.WARNING, "unreachable")
                logger.log(level, "Kafka is %s", state)
                self._ready = ready
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(_READY_SECONDS if ready else _NOT_READY_SECONDS)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS + 1):
                await self._admin.describe_cluster(_ANSWER_SECONDS)
        except KafkaAuthorizationFailed:
            # An authorization error is an answer too.
            return True
        except (FacadeError, TimeoutError):
            return False
        except Exception:
            logger.exception("asking Kafka whether it answers failed unexpectedly")
            return False
        return True
