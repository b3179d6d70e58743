"""What the Kafka clients of all identities share in a process: threads and memory."""

from __future__ import annotations

import contextlib
from typing import Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.consuming.prefetch import PrefetchBudget
from kafka_facade.kafka.freed_memory import FreedMemory
from kafka_facade.kafka.memory_budget import MemoryBudget
from kafka_facade.kafka.options import PoolOptions
from kafka_facade.kafka.producing.refusals import CLIENTS
from kafka_facade.kafka.protocol.io_thread import IoThread
from kafka_facade.kafka.protocol.names import Names
from kafka_facade.kafka.settings.roles import RECORD_BYTES

# Threads for calls that block on brokers: those that identities share, besides one of each, and the most of one.
_CONTROL_THREADS = 48
_CONTROL_THREADS_EACH = 16
_CLOSE_THREADS = 16
# Clients are created in these threads, and connections opened and closed.
_CONNECTING_THREADS = 8
# Half of the free memory of producers goes to the next identity that produces. Each may have several producers.
_QUEUE_PART = 2
# Half of that memory is reserved, so that each identity has a queue for its largest record.
_HALVES = 2
# Consumers of the gateway itself: one for a check at start, and two for its state.
_OWN_CONSUMERS = 3
_STOP_SECONDS = 5.0


PREFETCH_BYTES: Final = 512 * 1024 * 1024
"""The most memory (bytes) for prefetched records by default."""
QUEUED_BYTES: Final = 512 * 1024 * 1024
"""The most memory (bytes) for records that wait in producers."""


class Shared:
    """Thread pools and memory budgets. Create it on the event loop that uses it."""

    def __init__(self, options: PoolOptions, queued_bytes: int = QUEUED_BYTES) -> None:
        self._control = Blocking("kafka-control", _CONTROL_THREADS, options.max_identities)
        self._producing = Blocking("kafka-produce", _CONTROL_THREADS, options.max_identities)
        # One thread per consumer: each makes one call at a time, which may block on its coordinator.
        self.consuming = Blocking("kafka-consume", options.max_instances + _OWN_CONSUMERS)
        self.closing = Blocking("kafka-close", _CLOSE_THREADS)
        self.connecting = Blocking("kafka-connect", _CONNECTING_THREADS)
        self.names = Names()
        self.io = IoThread()
        self.prefetch = PrefetchBudget(options.prefetch_bytes or PREFETCH_BYTES, options.max_instances)
        least = _HALVES * options.max_identities * RECORD_BYTES
        self.queues = MemoryBudget(
            max(queued_bytes, least), options.max_identities * len(CLIENTS), _QUEUE_PART, RECORD_BYTES
        )
        self.freed = FreedMemory(self._control)

    def control(self) -> Blocking:
        """Return an identity's part of the threads for admin requests."""
        return self._control.part(_CONTROL_THREADS_EACH)

    def producing(self) -> Blocking:
        """Return an identity's part of the threads for a producer's metadata requests.

        They are not those of admin requests, so that stuck requests of one kind do not block the other.
        """
        return self._producing.part(_CONTROL_THREADS_EACH)

    async def close(self) -> None:
        """Accept no more work, without waiting for threads that are stuck."""
        await self.names.close()
        with contextlib.suppress(FacadeError):
            await self.closing.run(_STOP_SECONDS, self.io.close)
        self.freed.close()
        # Keep the pool that destroys consumers: streams that end later would otherwise destroy theirs on the loop.
        for blocking in (self._control, self.connecting, self._producing, self.consuming):
            blocking.close()
