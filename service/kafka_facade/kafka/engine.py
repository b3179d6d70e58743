"""All that talks to one Kafka cluster, made and closed together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafka_facade.core.errors import FacadeError, TooManyRequests
from kafka_facade.core.ports import ConsumerPort
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.acls import Acls
from kafka_facade.kafka.admin import Admin
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.client_config import translate
from kafka_facade.kafka.client_groups import ClientGroups
from kafka_facade.kafka.configs import Configs
from kafka_facade.kafka.consumer import Consumer
from kafka_facade.kafka.coordinators import Coordinators
from kafka_facade.kafka.groups import Groups
from kafka_facade.kafka.prefetch import PrefetchBudget
from kafka_facade.kafka.producer import Producer
from kafka_facade.kafka.protocol import ProtocolClient
from kafka_facade.kafka.reassignments import Reassignments
from kafka_facade.kafka.topic_limits import TopicLimits

if TYPE_CHECKING:
    from kafka_facade.kafka.schemas.registry import SchemaRegistry

logger = logging.getLogger("kafka_facade.kafka")

# Of the admin client, and as many of the producer: a few calls that wait for one broker hold up none of the other's.
_CONTROL_THREADS = 16
_CLOSE_THREADS = 16
_GROUP_REQUESTS = 64
_CHECK_SECONDS = 5.0

# By default a producer or admin client that asks for the metadata of a topic has brokers create it, even long after
# others have deleted it. Topics are created on purpose here (Producer.partition_count).
_NO_CREATION: dict[str, Any] = {"allow.auto.create.topics": False}
# Java's defaults where librdkafka's differ and callers could tell: which partition a key goes to, how large a record
# may be, which formats of a group's members get along.
_PRODUCER_DEFAULTS: dict[str, Any] = {
    "partitioner": "murmur2_random",
    "message.max.bytes": 1_048_576,
    "linger.ms": 0,
    # Without it, and with no linger, each record without a key would go to another partition, in a request of its own.
    "sticky.partitioning.linger.ms": 10,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # How long a topic that metadata doesn't show is waited for; records for a deleted one wait as long.
    "topic.metadata.propagation.max.ms": 5_000,
}
# Most requests go to the broker that metadata calls the controller; when it dies, only newer metadata names another.
_ADMIN_DEFAULTS: dict[str, Any] = {"topic.metadata.refresh.interval.ms": 2000}
# By default librdkafka pauses for a second once its queue is full.
_CONSUMER_DEFAULTS: dict[str, Any] = {
    "partition.assignment.strategy": "range,roundrobin",
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
}


def _producer_defaults(properties: Mapping[str, str]) -> dict[str, Any]:
    """Retries neither reorder nor repeat records, unless settings rule that out, as in the Java client (KIP-679)."""
    acks = properties.get("acks", "all") in ("all", "-1")
    retries = properties.get("retries", "1") != "0"
    return _PRODUCER_DEFAULTS | {"enable.idempotence": acks and retries}


def _registry(options: KafkaOptions) -> SchemaRegistry | None:
    if not options.registry_url:
        return None
    # The client with its codecs takes half a second to import, which is nothing to those who have no registry.
    from kafka_facade.kafka.schemas.registry import SchemaRegistry

    return SchemaRegistry(options.registry_url, options.registry)


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What the settings say of the cluster. Properties have the Java client's names."""

    bootstrap_servers: str
    producer: Mapping[str, str] = field(default_factory=dict)
    consumer: Mapping[str, str] = field(default_factory=dict)
    admin: Mapping[str, str] = field(default_factory=dict)
    delivery_timeout_ms: int = 29_000
    instance_timeout_ms: int = 300_000
    prefetch_bytes: int = 512 * 1024 * 1024
    most_consumers: int = 1000
    registry_url: str = ""
    registry: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """The ports of one cluster. Made on the event loop that uses it."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._control = Blocking("kafka-control", _CONTROL_THREADS)
        self._producing = Blocking("kafka-produce", _CONTROL_THREADS)
        # A consumer makes one call at a time, which may wait for its coordinator: none waits for a thread as well.
        self._consuming = Blocking("kafka-consume", options.most_consumers + 1)
        self._closing = Blocking("kafka-close", _CLOSE_THREADS)
        self.admin = Admin(self._config(_ADMIN_DEFAULTS, options.admin) | _NO_CREATION, self._control)
        self._protocol = ProtocolClient(self._config({}, options.admin), self._control)
        self.acls = Acls(self.admin.client, self._protocol)
        self.reassignments = Reassignments(self._protocol)
        self.configs = Configs(self.admin, self._protocol)
        delivery = {"message.timeout.ms": options.delivery_timeout_ms}
        self.producer = Producer(
            self._config(_producer_defaults(options.producer), options.producer) | _NO_CREATION | delivery,
            self._producing,
            self.admin,
            TopicLimits(self.configs),
        )
        # Coordinators that don't answer hold up neither each other nor what is asked of the controller.
        self._group_protocol = ProtocolClient(self._config({}, options.admin), self._control, _GROUP_REQUESTS)
        usable = self._group_protocol.usable
        coordinators = Coordinators(self._group_protocol) if usable else ClientGroups(self.admin.client, self._control)
        self.groups = Groups(self.admin.client, self._control, coordinators)
        # What a consumer's group has committed is asked for with the consumer's own credentials.
        self._consumer_protocol = ProtocolClient(self._config({}, options.consumer), self._control, _GROUP_REQUESTS)
        self._own_groups = Coordinators(self._consumer_protocol) if self._consumer_protocol.usable else None
        self.admin.on_change = self.producer.forget
        self.registry = _registry(options)
        self._prefetch = PrefetchBudget(options.prefetch_bytes, options.most_consumers)

    def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """A new consumer; ``group`` None is one that never joins or commits."""
        if thread_keys.are_scarce():
            raise TooManyRequests("This process can hold no more consumers; more workers can.")
        share = self._prefetch.take()
        given = translate(self._options.consumer)
        defaults = _CONSUMER_DEFAULTS | share.config(given)
        if given.get("group.protocol") == "consumer":
            # The group's coordinator assigns then (KIP-848).
            del defaults["partition.assignment.strategy"]
        config = self._config(defaults, self._options.consumer) | translate(overrides)
        config |= {
            "group.id": group if group is not None else "kafka-facade-reader",
            "auto.offset.reset": "error" if auto_offset_reset == "none" else auto_offset_reset,
            "enable.auto.commit": auto_commit and group is not None,
            # What is committed is what the caller got, not what the client has fetched.
            "enable.auto.offset.store": False,
            # It is how the client tells where a partition begins of which there is nothing to read yet.
            "enable.partition.eof": True,
            # A caller may be as slow as its instance lives; only then has it left.
            "max.poll.interval.ms": max(self._options.instance_timeout_ms, 60_000) + 60_000,
        }
        try:
            return Consumer(
                config,
                self._consuming,
                self._closing,
                share.give_back,
                grouped=group is not None,
                coordinators=self._own_groups,
            )
        except FacadeError:
            share.give_back()
            raise

    async def check(self) -> None:
        """Make a consumer for a moment: InvalidKafkaRequest for settings that it doesn't take together."""
        consumer = self.create(group="check", auto_offset_reset="latest", auto_commit=False, overrides={})
        await consumer.close(_CHECK_SECONDS)

    async def close(self, timeout: float) -> None:
        """Flush the producer and let go of everything, within ``timeout`` (s)."""
        started = time.monotonic()
        lost = await self.producer.close(timeout)
        if lost:
            logger.warning("%d records were still unacknowledged after %.1f s", lost, time.monotonic() - started)
        clients = (self._protocol, self._group_protocol, self._consumer_protocol)
        await asyncio.gather(*(client.close() for client in clients))
        # Not the one that destroys consumers: those of streams that end later would be destroyed on the event loop.
        for blocking in (self._control, self._producing, self._consuming):
            blocking.close()
        if self.registry is not None:
            await self.registry.close()
        await asyncio.sleep(0)

    def _config(self, defaults: Mapping[str, Any], properties: Mapping[str, str]) -> dict[str, Any]:
        base = {"bootstrap.servers": self._options.bootstrap_servers, "client.id": "kafka-facade", "log_level": 4}
        return base | dict(defaults) | translate(properties) | {"logger": logger}
