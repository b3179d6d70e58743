"""The core as the faces see it: the pipeline, and the operations by what they are about."""

from __future__ import annotations

import asyncio
import contextlib

from kafka_facade.core.acls.operations import Acls
from kafka_facade.core.acls.port import AclPort
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.clusters.operations import Clusters
from kafka_facade.core.configs.broker_configs import BrokerConfigs
from kafka_facade.core.configs.cluster_configs import ClusterConfigs
from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.configs.topic_configs import TopicConfigs
from kafka_facade.core.groups.operations import ConsumerGroups
from kafka_facade.core.groups.port import GroupPort
from kafka_facade.core.instances.operations import Consumers
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.pipeline import Pipeline
from kafka_facade.core.readiness import Readiness
from kafka_facade.core.reassignments.operations import Reassignments
from kafka_facade.core.reassignments.port import ReassignmentPort
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.port import ConsumerFactory, ProducerPort, SchemaRegistryPort
from kafka_facade.core.records.produce import Produce
from kafka_facade.core.records.reading import Reading
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.server.operations import Server
from kafka_facade.core.topics.operations import Topics
from kafka_facade.core.topics.port import AdminPort


class Facade:
    """All operations, over one cluster."""

    def __init__(
        self,
        pipeline: Pipeline,
        admin: AdminPort,
        producer: ProducerPort,
        consumers: ConsumerFactory,
        consumer_defaults: ConsumerDefaults,
        groups: GroupPort,
        acls: AclPort,
        reassignments: ReassignmentPort,
        batch_max_entries: int,
        configs: ConfigPort,
        registry: SchemaRegistryPort | None = None,
        peers: PeerPort | None = None,
    ) -> None:
        self.identity = ClusterIdentity(admin)
        self.pipeline = pipeline
        self.server = Server()
        self.clusters = Clusters(admin, self.identity)
        self.topics = Topics(admin, self.identity)
        self.topic_configs = TopicConfigs(configs, admin, self.identity)
        self.broker_configs = BrokerConfigs(configs, self.identity)
        self.cluster_configs = ClusterConfigs(configs, admin, self.identity)
        self.schemas = Schemas(registry)
        self.decoding = Decoding(self.schemas)
        self.produce = Produce(producer, self.identity, batch_max_entries, self.schemas)
        self.reading = Reading(consumers, self.topics, pipeline.closing)
        self.consumers = Consumers(consumers, admin, consumer_defaults, pipeline.closing, self.decoding, peers)
        self.groups = ConsumerGroups(groups, self.identity)
        self.acls = Acls(acls, self.identity)
        self.reassignments = Reassignments(reassignments, self.identity)
        self.readiness = Readiness(admin)
        self._expiry: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the work that goes on between calls."""
        self._expiry = asyncio.create_task(self.consumers.expire(), name="consumer expiry")
        await self.readiness.start()

    async def close(self, timeout: float) -> None:
        """Close what is left after the pipeline has drained; engines are closed by who made them."""
        if self._expiry is not None:
            self._expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiry
        await self.readiness.close()
        await self.consumers.close(timeout)
        self.schemas.close()
