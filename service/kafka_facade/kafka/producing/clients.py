"""The producer clients: the regular one, and those with smaller requests that resend rejected records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message

from kafka_facade.core.errors import FacadeError
from kafka_facade.kafka.producing.producer_client import ProducerClient, ProducerOpener
from kafka_facade.kafka.producing.refusals import ALONE, CLIENTS, SMALL, Refused
from kafka_facade.kafka.producing.resending import Resender
from kafka_facade.kafka.producing.submissions import Batch

# Of the memory that is left for queued records they take a smaller part than the first: one of this many.
_PART: Final = 4
# Maximum size of a request of the client SMALL, including overhead (bytes).
_SMALL_BYTES: Final = int(CLIENTS[SMALL]["batch.size"]) + 1_000


class Clients:
    """One client for each entry of ``refusals.CLIENTS``; all but the first are created on demand."""

    def __init__(
        self,
        first: ProducerClient,
        opener: ProducerOpener,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Batch, int, ClientError | None, Message], None],
        decide: Callable[[Batch, int, FacadeError], None],
    ) -> None:
        self.first = first
        self._others = [Resender(partial(opener.open, changed, _PART), loop, report, decide) for changed in CLIENTS[1:]]

    def all(self) -> list[ProducerClient]:
        """The clients that exist."""
        return [self.first, *(other.client for other in self._others if other.client is not None)]

    def at(self, place: int) -> ProducerClient | None:
        """The client at an index of ``refusals.CLIENTS``, if it exists."""
        return self._others[place - 1].client if place else self.first

    def place_for(self, largest: int | None) -> int:
        """Return the index of the client whose requests fit a topic's limit ``largest`` (bytes; None if unknown).

        Return 0, the regular client, until that client has been created.
        """
        place = self._wanted(largest)
        return place if self.at(place) is not None else 0

    async def prepare(self, largest: int | None) -> None:
        """Create the client for this limit, if it needs one of its own and can have one."""
        if place := self._wanted(largest):
            await self._others[place - 1].prepare()

    def _wanted(self, largest: int | None) -> int:
        if largest is None or largest >= self.first.largest_request:
            return 0
        return SMALL if largest >= _SMALL_BYTES else ALONE

    def send_again(self, batch: Batch, refused: Sequence[Refused]) -> None:
        """Resend these records of a batch through its current client."""
        self._others[batch.client - 1].add(batch, refused)

    def give_up(self, outcome: FacadeError) -> None:
        """Complete all records that wait to be resent with this error."""
        for other in self._others:
            other.give_up(outcome)

    async def close(self) -> None:
        """Destroy all clients; no record may be in flight."""
        await self.first.close()
        for other in self._others:
            await other.close()
