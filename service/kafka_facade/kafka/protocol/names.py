"""DNS lookups of brokers, in separate threads because a lookup can block for long."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final

from kafka_facade.kafka.blocking import Blocking

logger = logging.getLogger("kafka_facade.kafka")

Address = tuple[str, int]

_THREADS: Final = 8
# How long (s) a reconnection waits for a new lookup before it uses the old addresses.
_LOOKUP_SECONDS: Final = 1.0

addresses: Final[dict[Address, list[Any]]] = {}
"""The last result of ``getaddrinfo`` for each host and port."""


class Names:
    """Looks up brokers' names, one lookup per name at a time, and again after a connection has failed."""

    def __init__(self) -> None:
        self._blocking = Blocking("kafka-names", _THREADS)
        self._looking: dict[Address, asyncio.Task[None]] = {}
        self._doubted: set[Address] = set()

    async def look_up(self, address: Address) -> None:
        """Wait until ``addresses`` has the result for a name, which may be empty."""
        if address in addresses and address not in self._doubted:
            return
        looking = self._looking.get(address)
        if looking is None:
            looking = asyncio.create_task(self._look_up(address), name="broker name lookup")
            self._looking[address] = looking
        if address in addresses:
            await asyncio.wait({looking}, timeout=_LOOKUP_SECONDS)
        else:
            await asyncio.shield(looking)

    def doubt(self, address: Address) -> None:
        """Look a name up again at its next connection."""
        self._doubted.add(address)

    async def close(self) -> None:
        """Stop lookups, without waiting for threads that are stuck."""
        self._blocking.close()
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _look_up(self, address: Address) -> None:
        try:
            lookup = self._blocking.begin(socket.getaddrinfo, *address, socket.AF_UNSPEC, socket.SOCK_STREAM)
            addresses[address] = await asyncio.wrap_future(lookup)
            self._doubted.discard(address)
        except (OSError, UnicodeError) as error:
            logger.warning("the name of a Kafka broker can't be looked up: %s: %s", address[0], error)
        finally:
            del self._looking[address]
