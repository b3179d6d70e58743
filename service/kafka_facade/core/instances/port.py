"""The interface to the other workers that consumer instances need."""

from __future__ import annotations

from typing import Any, Protocol

from kafka_facade.core.call import Call
from kafka_facade.core.instances.model import OfInstance


class PeerPort(Protocol):
    """The workers that share consumer instances. Each instance belongs to one of them, and that may change."""

    def holds(self, group: str, instance: str) -> bool:
        """Return whether an instance, which need not exist, belongs to this worker."""

    async def forward(self, call: Call, request: OfInstance) -> Any:
        """Run an operation in the worker to which its instance belongs.

        Raises the operation's errors, and Unavailable while no worker has the instance.
        """
