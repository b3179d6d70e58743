"""The core as the faces see it: it admits calls to operations and runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from kafka_facade.core.acls.operations import Acls
from kafka_facade.core.acls.port import AclPort
from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import BY_IDENTIFIER
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.clusters.operations import Clusters
from kafka_facade.core.configs.broker_configs import BrokerConfigs
from kafka_facade.core.configs.cluster_configs import ClusterConfigs
from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.configs.topic_configs import TopicConfigs
from kafka_facade.core.groups.operations import ConsumerGroups
from kafka_facade.core.groups.port import GroupPort
from kafka_facade.core.instances.model import FETCH_OPERATIONS, GetConsumerInstance, fetch_operation
from kafka_facade.core.instances.operations import Consumers
from kafka_facade.core.instances.placement import PLACED
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.pipeline import Admission, Pipeline
from kafka_facade.core.readiness import Readiness
from kafka_facade.core.reassignments.operations import Reassignments
from kafka_facade.core.reassignments.port import ReassignmentPort
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import ConsumerFactory, ProducerPort, SchemaRegistryPort
from kafka_facade.core.records.produce import Produce
from kafka_facade.core.records.reading import Reading
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.registry import Registry
from kafka_facade.core.request import Answer, Request
from kafka_facade.core.server.operations import Server
from kafka_facade.core.topics.operations import Topics
from kafka_facade.core.topics.port import AdminPort


class Facade:
    """All operations on one cluster."""

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
        identity = ClusterIdentity(admin)
        topics = Topics(admin, identity)
        self._schemas = Schemas(registry)
        self.pipeline = pipeline
        self.decoding = Decoding(self._schemas)
        self.readiness = Readiness(admin)
        self._instances = Consumers(consumers, admin, consumer_defaults, pipeline.closing, self.decoding, peers)
        self.registry = Registry(
            (
                Server(),
                Clusters(admin, identity),
                topics,
                TopicConfigs(configs, admin, identity),
                BrokerConfigs(configs, identity),
                ClusterConfigs(configs, admin, identity),
                Produce(producer, identity, batch_max_entries, self._schemas),
                Reading(consumers, topics, pipeline.closing),
                self._instances,
                ConsumerGroups(groups, identity),
                Acls(acls, identity),
                Reassignments(reassignments, identity),
            )
        )
        self._expiry: asyncio.Task[None] | None = None

    @property
    def fetch_max_bytes(self) -> int:
        """Maximum bytes of keys and values that a fetch of a consumer instance returns."""
        return self._instances.request_max_bytes

    def admitted(self, identifier: str, caller: Caller) -> Admission:
        """Admit a call of an operation for the duration of a block: ``with facade.admitted(...) as call``.

        Enter the block as soon as a request arrives, before it is decoded, so that malformed requests count as calls
        too. Raises OperationBlocked, NotImplementedYet, or Unavailable if the server is draining.
        """
        return self.pipeline.admit(identifier, caller)

    async def run(self, identifier: str, request: Request[Answer], caller: Caller) -> Answer:
        """Admit and run an operation. Raises its errors, those of admission, and KafkaTimeout at the deadline."""
        with self.pipeline.admit(identifier, caller) as call:
            return await self.perform(call, request)

    async def perform(self, call: Call, request: Request[Answer]) -> Answer:
        """Run an operation whose call is admitted. Raises its errors, and KafkaTimeout at the call's deadline."""
        answer: Answer = await self.pipeline.within(call, self._begin(call, request))
        return answer

    def stream(self, call: Call, request: Request[Answer]) -> Answer:
        """Return the async iterator of a streaming operation whose call is admitted; the deadline bounds its start."""
        answer: Answer = self._begin(call, request)
        return answer

    async def format_of(self, group: str, instance: str, caller: Caller) -> Format:
        """Return the format of a consumer instance, for a fetch that names none.

        It is looked up under any fetch operation that the access lists leave open. ConsumerInstanceNotFound,
        OperationBlocked.
        """
        blocked = fetch_operation(Format.BINARY)
        names = (name for name in FETCH_OPERATIONS.values() if self.pipeline.permits(BY_IDENTIFIER[name]))
        found = await self.run(next(names, blocked), GetConsumerInstance(group, instance), caller)
        return found.format

    async def read_json(self, read: Callable[[bytes], Answer], text: bytes, timeout: float) -> Answer:
        """Parse JSON with ``read``, in a thread if the text is large. Raises PayloadTooLarge and KafkaTimeout."""
        return await self._schemas.read_json(read, text, timeout)

    async def perform_forwarded(self, method: str, call: Call, request: Any) -> Any:
        """Run an operation on a consumer instance of this worker for a call that another worker has admitted."""
        with self.pipeline.admit_forwarded(call):
            return await self.pipeline.within(call, PLACED[method](self._instances, call, request))

    def _begin(self, call: Call, request: Request[Any]) -> Any:
        return self.registry.method(call.operation.identifier, request)(call, request)

    async def start(self) -> None:
        """Start the background tasks: expiry of consumer instances, and readiness checks."""
        self._expiry = asyncio.create_task(self._instances.expire(), name="consumer expiry")
        await self.readiness.start()

    async def close(self, timeout: float) -> None:
        """Stop background tasks and close consumer instances. Kafka clients are closed by their creator."""
        if self._expiry is not None:
            self._expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiry
        await self.readiness.close()
        await self._instances.close(timeout)
        self._schemas.close()
