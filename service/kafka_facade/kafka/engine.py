"""All clients of one identity in one Kafka cluster, opened and closed together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

from confluent_kafka.admin import AdminClient

from kafka_facade.client_settings.java_names import is_security, translate
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.admin import clients
from kafka_facade.kafka.admin.acls import Acls
from kafka_facade.kafka.admin.brokers import Brokers
from kafka_facade.kafka.admin.configs import Configs
from kafka_facade.kafka.admin.cordons import Cordons
from kafka_facade.kafka.admin.groups import Groups
from kafka_facade.kafka.admin.placement import Placements
from kafka_facade.kafka.admin.reassignments import Reassignments
from kafka_facade.kafka.admin.replica_logs import ReplicaLogs
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.authentication import Authentication, fail_fast
from kafka_facade.kafka.consuming.consumer import Consumer
from kafka_facade.kafka.consuming.serialized_client import ClientSetup
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.kafka.owned import Owned
from kafka_facade.kafka.producing.producer import Producer
from kafka_facade.kafka.producing.producer_client import ProducerOpener
from kafka_facade.kafka.producing.topic_limits import TopicLimits
from kafka_facade.kafka.producing.transactions import Transactions
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.settings import roles
from kafka_facade.kafka.shared import Shared

logger = logging.getLogger("kafka_facade.kafka")

_GROUP_REQUESTS = 64
# Concurrent requests to the controller; each covers the whole cluster, so further ones wait.
_CONTROLLER_REQUESTS = 4
_CHECK_SECONDS = 5.0
_OPEN_SECONDS = 20.0
_DESTROY_SECONDS = 5.0


def _login(config: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in config.items() if is_security(name)}


@dataclass(frozen=True, slots=True)
class _Configs:
    """The given settings of each role in librdkafka's names, translated once, because this reads key stores."""

    admin: dict[str, Any]
    producer: dict[str, Any]
    consumer: dict[str, Any]


class Engine:
    """The ports of one identity in one cluster. Used on one event loop."""

    def __init__(
        self,
        options: KafkaOptions,
        shared: Shared,
        configs: _Configs,
        client: Owned,
        authentication: Authentication,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """Use :meth:`open`; ``client`` is the admin client, whose errors go to ``authentication``."""
        self._options = options
        self._shared = shared
        self._client = client
        self._authentication = authentication
        authentication.begin_polling(partial(client.poll, 0))
        self._consumer_config = configs.consumer
        self._control = shared.control()
        self._producing = shared.producing()
        servers = options.bootstrap_servers
        # Separate clients, so that unresponsive brokers block neither metadata, nor coordinators, nor the controller.
        self._log_protocol = self._protocol_client(configs.admin, _GROUP_REQUESTS)
        self._metadata_protocol = self._protocol_client(configs.admin, _GROUP_REQUESTS)
        admin_client = cast(AdminClient, client)
        admin = Admin(admin_client, authentication, self._control, self._log_protocol, self._metadata_protocol)
        self.admin = fail_fast(admin, authentication)
        self._protocol = self._protocol_client(configs.admin, _CONTROLLER_REQUESTS)
        self.acls = fail_fast(Acls(admin_client, self._protocol), authentication)
        self.reassignments = fail_fast(Reassignments(self._protocol), authentication)
        self.brokers = fail_fast(Brokers(admin, self._protocol), authentication)
        self.configs = fail_fast(Configs(admin, self._protocol), authentication)
        self.replica_logs = fail_fast(ReplicaLogs(self._metadata_protocol, self._log_protocol), authentication)
        self.placement = fail_fast(Placements(self._metadata_protocol, self._log_protocol), authentication)
        delivery = roles.delivery(options.request_seconds)
        self.cordons = fail_fast(Cordons(self._log_protocol), authentication)
        opener = ProducerOpener(
            lambda memory: roles.producer_config(servers, configs.producer, memory) | delivery,
            roles.queue_bytes(configs.producer),
            shared.queues,
            shared.connecting,
        )
        self.producer = Producer(opener, self._producing, self.admin, TopicLimits(self.configs))
        self.transactions = Transactions(servers, configs.producer, shared.connecting, self._control, shared.closing)
        # Unresponsive coordinators must block neither each other nor requests to the controller.
        self._group_protocol = self._protocol_client(configs.admin, _GROUP_REQUESTS)
        coordinators = clients.groups(admin_client, self._control, self._group_protocol)
        self.groups = fail_fast(Groups(coordinators, admin.log_offsets), authentication)
        # Committed offsets of a consumer's group are fetched with the consumer's credentials.
        self._consumer_protocol = self._protocol_client(configs.consumer, _GROUP_REQUESTS)
        own_groups = clients.own_groups(self._consumer_protocol)
        if own_groups is not None and _login(configs.admin) == _login(configs.consumer):
            own_groups = fail_fast(own_groups, authentication)
        self._own_groups = own_groups
        self.destroyed: Future[None] | None = None
        """Done once the last client is destroyed; set by :meth:`close`."""
        admin.on_change = self.producer.forget if on_change is None else on_change

    @classmethod
    async def open(cls, options: KafkaOptions, shared: Shared, on_change: Callable[[str], None] | None = None) -> Self:
        """Create the admin client in a thread; all others are created at their first use.

        ``on_change`` is called with each topic whose partitions were changed with these clients; by default the
        producer forgets the topic.

        Raises InvalidKafkaRequest for invalid settings, TooManyRequests if the process has too many clients, and
        KafkaTimeout.
        """
        authentication = Authentication()
        configs, client = await shared.connecting.run(_OPEN_SECONDS, _open, options, authentication)
        return cls(options, shared, configs, client, authentication, on_change)

    async def prepare(self) -> None:
        """Create the clients that nearly every gateway needs now rather than at their first use."""
        self._metadata_protocol.prepare()
        self._log_protocol.prepare()
        await self.producer.open()

    def _protocol_client(self, given: Mapping[str, Any], in_flight: int) -> ProtocolClient:
        config = roles.protocol_config(self._options.bootstrap_servers, given)
        shared = self._shared
        return ProtocolClient(config, shared.connecting, shared.names, shared.io, in_flight)

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
            brokers=self.brokers,
            configs=self.configs,
            replica_logs=self.replica_logs,
            transactions=self.transactions,
            cordons=self.cordons,
            placement=self.placement,
        )

    async def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """Create a consumer; with a ``group`` of None it never joins or commits."""
        share = self._shared.prefetch.take()
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
            self._shared.freed.give_back_soon()

        setup = ClientSetup(
            config=config,
            connecting=self._shared.connecting,
            blocking=self._shared.consuming,
            closing=self._shared.closing,
            grouped=group is not None,
            on_dropped=self._shared.freed.give_back_soon,
        )
        consumer = Consumer(setup, gone, coordinators=self._own_groups, share=share)
        try:
            await consumer.open()
        except BaseException:
            share.give_back()
            raise
        return consumer

    async def check(self) -> None:
        """Create a consumer and drop it. Raises InvalidKafkaRequest if its settings are invalid together."""
        consumer = await self.create(group="check", auto_offset_reset="latest", auto_commit=False, overrides={})
        await consumer.close(_CHECK_SECONDS)

    async def close(self, timeout: float) -> None:
        """Flush the producer and close all clients within ``timeout`` (s); ``destroyed`` may take longer."""
        started = time.monotonic()
        try:
            lost = await self.producer.close(timeout)
            if lost:
                logger.warning("%d records were still unacknowledged after %.1f s", lost, time.monotonic() - started)
            clients = (
                self._protocol,
                self._group_protocol,
                self._consumer_protocol,
                self._log_protocol,
                self._metadata_protocol,
            )
            await asyncio.gather(*(client.close() for client in clients))
        finally:
            self._authentication.close()
            self._control.close()
            self._producing.close()
            self.destroyed = self._shared.closing.begin(self._client.destroy)
        # Waiting for it this way cancels nothing.
        await asyncio.wait([asyncio.wrap_future(self.destroyed)], timeout=_DESTROY_SECONDS)
        self._shared.freed.give_back_soon()


def _open(options: KafkaOptions, authentication: Authentication) -> tuple[_Configs, Owned]:
    """Read the settings and create the admin client. Blocks."""
    configs = _Configs(
        translate(options.admin).config, translate(options.producer).config, translate(options.consumer).config
    )
    config = roles.admin_config(options.bootstrap_servers, configs.admin)
    with thread_keys.taking():
        return configs, Owned(AdminClient(config | {"error_cb": authentication.on_error}))
