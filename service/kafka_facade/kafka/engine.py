"""All that talks to one Kafka cluster, made and closed together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_facade.client_settings.java_names import is_security, translate
from kafka_facade.core.errors import FacadeError
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

# Of the admin client, and as many of the producer: a few calls that wait for one broker hold up none of the other's.
_CONTROL_THREADS = 16
_CLOSE_THREADS = 16
# Each of the four protocol clients makes connections at its start, and seldom again.
_CONNECTING_THREADS = 4
_GROUP_REQUESTS = 64
# Others wait: each is of the whole cluster.
_CONTROLLER_REQUESTS = 4
_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What the settings say of the cluster. Properties have the Java client's names."""

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
    """The ports of one cluster. Made on the event loop that uses it."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._control = Blocking("kafka-control", _CONTROL_THREADS)
        self._producing = Blocking("kafka-produce", _CONTROL_THREADS)
        # A consumer makes one call at a time, which may wait for its coordinator: none waits for a thread as well.
        self._consuming = Blocking("kafka-consume", options.most_consumers + 1)
        self._closing = Blocking("kafka-close", _CLOSE_THREADS)
        self._connecting = Blocking("kafka-connect", _CONNECTING_THREADS)
        self._names = Names()
        servers = options.bootstrap_servers
        admin, producer = translate(options.admin).config, translate(options.producer).config
        # Once: consumers are made all the time, and key stores are read here.
        self._consumer_config = translate(options.consumer).config
        # Brokers that don't answer hold up neither coordinators nor what is asked of the controller.
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
        # Coordinators that don't answer hold up neither each other nor what is asked of the controller.
        self._group_protocol = self._protocol_client(admin, _GROUP_REQUESTS)
        usable = self._group_protocol.usable
        coordinators = Coordinators(self._group_protocol) if usable else ClientGroups(client.client, self._control)
        self.groups = fail_fast(Groups(coordinators, client.log_offsets), trusted)
        # What a consumer's group has committed is asked for with the consumer's own credentials.
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

    def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """A new consumer; ``group`` None is one that never joins or commits."""
        share = self._prefetch.take()
        given = self._consumer_config
        config = roles.consumer_config(self._options.bootstrap_servers, given, share.config(given))
        config |= translate(overrides).config
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
        """Make a consumer for a moment: InvalidKafkaRequest for settings that it doesn't take together."""
        consumer = self.create(group="check", auto_offset_reset="latest", auto_commit=False, overrides={})
        await consumer.close(_CHECK_SECONDS)

    async def close(self, timeout: float) -> None:
        """Flush the producer and let go of everything, within ``timeout`` (s)."""
        started = time.monotonic()
        lost = await self.producer.close(timeout)
        if lost:
            logger.warning("%d records were still unacknowledged after %.1f s", lost, time.monotonic() - started)
        clients = (self._protocol, self._group_protocol, self._consumer_protocol, self._log_protocol)
        await asyncio.gather(*(client.close() for client in clients))
        await self._names.close()
        self.admin.authentication.close()
        self._freed.close()
        # Not the one that destroys consumers: those of streams that end later would be destroyed on the event loop.
        for blocking in (self._control, self._connecting, self._producing, self._consuming):
            blocking.close()
        await asyncio.sleep(0)
