"""All clients of one Kafka cluster, created and closed together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_facade.client_settings.java_names import is_security, translate
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.kafka.admin.acls import Acls
from kafka_facade.kafka.admin.configs import Configs
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.admin.groups import Groups
from kafka_facade.kafka.admin.librdkafka_groups import ClientGroups
from kafka_facade.kafka.admin.reassignments import Reassignments
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.authentication import fail_fast
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.consuming.consumer import Consumer
from kafka_facade.kafka.consuming.prefetch import PrefetchBudget
from kafka_facade.kafka.freed_memory import FreedMemory
from kafka_facade.kafka.producing.producer import Producer
from kafka_facade.kafka.producing.topic_limits import TopicLimits
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.names import Names
from kafka_facade.kafka.settings import roles

logger = logging.getLogger("kafka_facade.kafka")

# Threads of the admin client, and as many for the producer, so that calls stuck on one broker do not block the others.
_CONTROL_THREADS = 16
_CLOSE_THREADS = 16
# The four protocol clients connect at startup and rarely again.
_CONNECTING_THREADS = 4
_GROUP_REQUESTS = 64
# Concurrent requests to the controller; each covers the whole cluster, so further ones wait.
_CONTROLLER_REQUESTS = 4
_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Settings of the Kafka clients. Properties have the names of the Java client."""

    bootstrap_servers: str
    producer: Mapping[str, str] = field(default_factory=dict, repr=False)
    consumer: Mapping[str, str] = field(default_factory=dict, repr=False)
    admin: Mapping[str, str] = field(default_factory=dict, repr=False)
    delivery_timeout_ms: int = 29_000
    instance_timeout_ms: int = 300_000
    prefetch_bytes: int = 512 * 1024 * 1024
    most_consumers: int = 1000


def _login(config: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in config.items() if is_security(name)}


class Engine:
    """The ports of one cluster. Create it on the event loop that uses it."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._control = Blocking("kafka-control", _CONTROL_THREADS)
        self._producing = Blocking("kafka-produce", _CONTROL_THREADS)
        # One thread per consumer: each makes one call at a time, which may block on its coordinator.
        self._consuming = Blocking("kafka-consume", options.most_consumers + 1)
        self._closing = Blocking("kafka-close", _CLOSE_THREADS)
        self._connecting = Blocking("kafka-connect", _CONNECTING_THREADS)
        self._names = Names()
        servers = options.bootstrap_servers
        admin, producer = translate(options.admin).config, translate(options.producer).config
        # Translated once, because consumers are created often and this reads key stores.
        self._consumer_config = translate(options.consumer).config
        # Separate clients, so that unresponsive brokers block neither coordinators nor the controller.
        self._log_protocol = self._protocol_client(admin, _GROUP_REQUESTS)
        self._log_protocol.prepare()
        client = Admin(roles.admin_config(servers, admin), self._control, self._log_protocol)
        trusted = client.authentication
        self.admin = fail_fast(client, trusted)
        self._protocol = self._protocol_client(admin, _CONTROLLER_REQUESTS)
        self.acls = fail_fast(Acls(client.client, self._protocol), trusted)
        self.reassignments = fail_fast(Reassignments(self._protocol), trusted)
        self.configs = fail_fast(Configs(client, self._protocol), trusted)
        delivery = {"message.timeout.ms": options.delivery_timeout_ms}
        self.producer = Producer(
            roles.producer_config(servers, producer) | delivery,
            self._producing,
            self.admin,
            TopicLimits(self.configs),
        )
        # Unresponsive coordinators must block neither each other nor requests to the controller.
        self._group_protocol = self._protocol_client(admin, _GROUP_REQUESTS)
        usable = self._group_protocol.usable
        coordinators = Coordinators(self._group_protocol) if usable else ClientGroups(client.client, self._control)
        self.groups = fail_fast(Groups(coordinators, client.log_offsets), trusted)
        # Committed offsets of a consumer's group are fetched with the consumer's credentials.
        self._consumer_protocol = self._protocol_client(self._consumer_config, _GROUP_REQUESTS)
        own_groups = Coordinators(self._consumer_protocol)
        if _login(admin) == _login(self._consumer_config):
            own_groups = fail_fast(own_groups, trusted)
        self._own_groups = own_groups if self._consumer_protocol.usable else None
        client.on_change = self.producer.forget
        self._prefetch = PrefetchBudget(options.prefetch_bytes, options.most_consumers)
        self._freed = FreedMemory(self._control)

    def _protocol_client(self, given: Mapping[str, Any], in_flight: int) -> ProtocolClient:
        config = roles.protocol_config(self._options.bootstrap_servers, given)
        return ProtocolClient(config, self._connecting, self._names, in_flight)

    def ports(self) -> KafkaPorts:
        """Return the ports for operations."""
        return KafkaPorts(
            cluster=ClusterIdentity(self.admin),
            admin=self.admin,
            producer=self.producer,
            consumers=self,
            groups=self.groups,
            acls=self.acls,
            reassignments=self.reassignments,
            configs=self.configs,
        )

    def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """Create a consumer; with a ``group`` of None it never joins or commits."""
        share = self._prefetch.take()
        given = self._consumer_config
        config = roles.consumer_config(self._options.bootstrap_servers, given, share.config(given))
        config |= translate(overrides).config
        config |= {
            "group.id": group if group is not None else "kafka-facade-reader",
            "auto.offset.reset": "error" if auto_offset_reset == "none" else auto_offset_reset,
            "enable.auto.commit": auto_commit and group is not None,
            # Commit what was delivered to the caller, not what librdkafka has returned.
            "enable.auto.offset.store": False,
            # The only way to learn the start offset of a partition without records.
            "enable.partition.eof": True,
            # A caller may pause for as long as its instance lives without losing its membership.
            "max.poll.interval.ms": max(self._options.instance_timeout_ms, 60_000) + 60_000,
        }

        def gone() -> None:
            share.give_back()
            self._freed.give_back_soon()

        try:
            return Consumer(
                config,
                self._consuming,
                self._closing,
                gone,
                grouped=group is not None,
                coordinators=self._own_groups,
            )
        except FacadeError:
            share.give_back()
            raise

    async def check(self) -> None:
        """Create a consumer and drop it. Raises InvalidKafkaRequest if its settings are invalid together."""
        consumer = self.create(group="check", auto_offset_reset="latest", auto_commit=False, overrides={})
        await consumer.close(_CHECK_SECONDS)

    async def close(self, timeout: float) -> None:
        """Flush the producer and close all clients within ``timeout`` (s)."""
        started = time.monotonic()
        lost = await self.producer.close(timeout)
        if lost:
            logger.warning("%d records were still unacknowledged after %.1f s", lost, time.monotonic() - started)
        clients = (self._protocol, self._group_protocol, self._consumer_protocol, self._log_protocol)
        await asyncio.gather(*(client.close() for client in clients))
        await self._names.close()
        self.admin.authentication.close()
        self._freed.close()
        # Keep the pool that destroys consumers: streams that end later would otherwise destroy theirs on the loop.
        for blocking in (self._control, self._connecting, self._producing, self._consuming):
            blocking.close()
        await asyncio.sleep(0)
