"""Workers without Kafka, with slots assigned by the test."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.core import Core
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.peers.ownership import SLOTS
from kafka_facade.peers.peer import SILENCE_SECONDS
from kafka_facade.peers.peers import Peers
from kafka_facade.peers.transport import Transport


class Table:
    """An ownership controlled by the test: each worker uses its own table."""

    count = SLOTS

    def __init__(self) -> None:
        self.owned: set[int] = set()
        self.addresses: dict[int, str] = {}

    def owns(self, slot: int) -> bool:
        return slot in self.owned

    def address_of(self, slot: int) -> str | None:
        return self.addresses.get(slot)

    async def run(self, lost: Callable[[], None]) -> None:
        await asyncio.Event().wait()


class Clients:
    """No Kafka: the instances of these tests do not exist."""

    identity = KafkaIdentity("default", "service")
    ports: Any = SimpleNamespace(admin=None, placement=None)

    def take(self, identity: KafkaIdentity) -> "Clients":
        return self

    async def lease(self, identity: KafkaIdentity, timeout: float) -> "Clients":
        return self

    def share(self) -> "Clients":
        return self

    def release(self) -> None:
        pass


def core(peers: Peers | None = None) -> Core:
    clients = Clients()
    pipeline = Pipeline(AccessLists(), 30, kafka=Kafka(clients, lambda caller, cluster_id: clients.identity))
    defaults = ConsumerDefaults(1000, 1_000_000, 300_000, -1, "latest", True, 100)
    return Core(pipeline, clients.ports, defaults, 10, peers=peers)


class Worker:
    def __init__(
        self, transport: Transport, silence_seconds: float = SILENCE_SECONDS, idle_seconds: float = 60.0
    ) -> None:
        self.transport = transport
        self.table = Table()
        self.peers = Peers(self.table, transport, silence_seconds, idle_seconds)
        self.core = core(self.peers)

    @property
    def forwarded(self) -> int:
        """Calls in flight, which counts those of other workers."""
        return self.core.pipeline.in_flight


def read(hand_over: Callable[[Any], Coroutine[Any, Any, None]] | None) -> Call:
    """Return the call of a read with the longest deadline."""
    call = Call(CATALOGUE["api.v2.consumers.consume-json"], Caller("rest"), time.monotonic() + 2**31 / 1000)
    call.hand_over = hand_over
    return call
