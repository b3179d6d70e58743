"""The interface to the other workers that consumer instances need."""

from __future__ import annotations

from typing import Any, Protocol

from kafka_facade.core.call import Call


class PeerPort(Protocol):
    """The workers that share consumer instances; each holds some slots and the instances in them."""

    @property
    def slots(self) -> int:
        """How many slots there are."""

    def holds(self, slot: int) -> bool:
        """Whether this worker holds a slot."""

    async def call(self, slot: int, method: str, call: Call, request: Any) -> Any:
        """Run a placed operation (:mod:`kafka_facade.core.instances.placement`) in the worker that holds the slot.

        Raises the operation's errors, and Unavailable while no worker holds the slot.
        """
