"""Replicas that a broker still has although no metadata shows them."""

from __future__ import annotations

import time
from typing import Final

from kafka_facade.core.balancer.executor import STEP_SECONDS
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import REFUSED, Failure
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.quoting import quote

LEFT_SECONDS: Final = 60.0
"""How long a broker may have such replicas (those that have moved are deleted in a moment), or throttles that cannot be
removed."""


class Leftovers:
    """Asks brokers for them, and knows since when they are there."""

    def __init__(self, kafka: BalancerKafka) -> None:
        self._kafka = kafka
        self._since: dict[int, float] = {}

    def forget(self) -> None:
        """Forget since when there are any."""
        self._since.clear()

    def end(self, broker_id: int) -> None:
        """A broker has none."""
        self._since.pop(broker_id, None)

    def are_lasting(self, broker_id: int) -> bool:
        """Return whether a broker has had some for too long; the next time they count anew."""
        now = time.monotonic()
        if now - self._since.setdefault(broker_id, now) <= LEFT_SECONDS:
            return False
        # Another removal waits anew.
        self.end(broker_id)
        return True

    async def find(self, broker_id: int, seen: Look) -> Failure | None:
        """Ask a live broker whether it has no replicas; return what it has, as the failure if that lasts.

        Metadata leaves out topics that the gateway may not describe.
        """
        reason = ""
        try:
            known = (await self._kafka.placement.disks([broker_id], STEP_SECONDS)).get(broker_id)
        except FacadeError as error:
            known, reason = None, f" {error.message}"
        if known is None:
            return Failure(REFUSED, f"Broker {broker_id} does not tell which replicas it has.{reason}")
        if not known.sizes:
            self.end(broker_id)
            return None
        topic, partition = min(known.sizes)
        reason = "" if (topic, partition) in seen.placement.partitions else ", which the gateway may not describe"
        message = f"Broker {broker_id} still has a replica of partition {partition} of topic {quote(topic)}{reason}."
        return Failure(REFUSED, message)
