"""What consumer instances ask of the other workers."""

from __future__ import annotations

from typing import Any, Protocol

from kafka_facade.core.call import Call


class PeerPort(Protocol):
    """The workers that share consumer instances: each holds slots, and an instance lives in its slot's worker."""

    @property
    def slots(self) -> int:
        """How many slots there are."""

    def holds(self, slot: int) -> bool:
        """Whether this worker holds a slot."""

    async def call(self, slot: int, method: str, call: Call, request: Any) -> Any:
        """Run a placed operation (:mod:`kafka_facade.core.instances.placement`) where the slot is held.

        Its own errors; Unavailable while nobody holds the slot.
        """
