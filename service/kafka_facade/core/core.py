"""The core as the faces see it: it admits calls to operations and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from kafka_facade.core.acls.operations import Acls
from kafka_facade.core.balancer.leader import Balancer
from kafka_facade.core.balancer.operations import BalancerStatuses
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.broker_tasks.operations import BrokerTasks
from kafka_facade.core.call import Call, Caller
from kafka_facade.core.clusters.operations import Clusters
from kafka_facade.core.configs.broker_configs import BrokerConfigs
from kafka_facade.core.configs.cluster_configs import ClusterConfigs
from kafka_facade.core.configs.topic_configs import TopicConfigs
from kafka_facade.core.errors import Unavailable
from kafka_facade.core.exclusions.keeper import ExclusionKeeper
from kafka_facade.core.exclusions.operations import Exclusions
from kafka_facade.core.groups.operations import ConsumerGroups
from kafka_facade.core.instances.model import FETCH_OPERATIONS, GetConsumerInstance, fetch_operation
from kafka_facade.core.instances.operations import Consumers
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.pipeline import Admission, Pipeline
from kafka_facade.core.readiness import Readiness
from kafka_facade.core.reassignments.operations import Reassignments
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import SchemaRegistryPort
from kafka_facade.core.records.produce import Produce
from kafka_facade.core.records.reading import Reading
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.registry import Registry, implemented_by, needs_kafka
from kafka_facade.core.replica_status.operations import ReplicaStatuses
from kafka_facade.core.request import Answer, Request
from kafka_facade.core.reservation import current_reservation
from kafka_facade.core.reserved_topic import ReservedTopic
from kafka_facade.core.server.operations import Server
from kafka_facade.core.state.options import DEFAULT_TOPIC
from kafka_facade.core.state.state import State
from kafka_facade.core.topics.operations import Topics
from kafka_facade.core.worker_threads import NoFreeThread, WorkerThreads

_Text = TypeVar("_Text", bound=bytes | bytearray | memoryview)

_Method = Callable[[Call, Any], Any]

# How long (s) work of the faces waits for the thread. One thread: more would only delay the event loop further.
_THREADS: Final = 1
_WAIT_SECONDS: Final = 5.0
_WORK_SECONDS: Final = 60.0

FAMILIES: Final[tuple[type[Any], ...]] = (
    Server,
    Clusters,
    Topics,
    TopicConfigs,
    BrokerConfigs,
    ClusterConfigs,
    Produce,
    Reading,
    Consumers,
    ConsumerGroups,
    Acls,
    Reassignments,
    ReplicaStatuses,
    Exclusions,
    BrokerTasks,
    BalancerStatuses,
)
"""The classes whose methods implement the operations. Those that need something are made in :class:`Core`."""

IMPLEMENTED: Final = implemented_by(FAMILIES)
"""The identifiers of the operations that the gateway implements as it is shipped."""


class Core:
    """All operations of the pipeline's catalogue.

    ``pipeline`` gives calls their access to Kafka; ``own`` are the ports of the gateway itself, for readiness, for its
    state in ``state_topic``, and for the balancer. ``more`` has families besides those here, and ``kinds`` is the link
    table.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        own: KafkaPorts,
        consumer_defaults: ConsumerDefaults,
        batch_max_entries: int,
        registry: SchemaRegistryPort | None = None,
        peers: PeerPort | None = None,
        more: Iterable[object] = (),
        kinds: Mapping[type[Any], Kind] = KINDS,
        state_topic: str = DEFAULT_TOPIC,
        balancer: BalancerOptions | None = None,
    ) -> None:
        topics = Topics()
        self._schemas = Schemas(registry)
        self.pipeline = pipeline
        self.catalogue = pipeline.catalogue
        self.kinds = kinds
        self.decoding = Decoding(self._schemas)
        self.readiness = Readiness(own.admin)
        self._state = State(own, state_topic)
        self._reserved = ReservedTopic(state_topic)
        ExclusionKeeper(own).register(self._state.handlers)
        options = balancer or BalancerOptions()
        self._balancer = Balancer(own, options)
        self._balancer.register(self._state.handlers)
        self._groups = ConsumerGroups()
        self._instances = Consumers(consumer_defaults, pipeline.closing, self.decoding, peers)
        self._broker_tasks = BrokerTasks(self._state, pipeline.closing, own.placement, enabled=options.enabled)
        made: dict[type[Any], object] = {
            Topics: topics,
            Produce: Produce(batch_max_entries, self._schemas),
            Reading: Reading(topics, pipeline.closing, pipeline.overload.outgoing),
            Consumers: self._instances,
            ConsumerGroups: self._groups,
            Exclusions: Exclusions(self._state),
            BrokerTasks: self._broker_tasks,
            BalancerStatuses: BalancerStatuses(self._state, enabled=options.enabled),
        }
        families = [made[family] if family in made else family() for family in FAMILIES]
        self.registry = Registry((*families, *more), self.catalogue)
        pipeline.serve(self.registry)
        self.forwardable = Registry((self._instances,), self.catalogue)
        """The operations that other workers may forward."""
        self._threads = WorkerThreads("requests", _THREADS)
        self._expiry: asyncio.Task[None] | None = None

    @property
    def fetch_max_bytes(self) -> int:
        """Maximum bytes of keys and values that a fetch of a consumer instance returns."""
        return self._instances.request_max_bytes

    def admitted(self, identifier: str, caller: Caller) -> Admission:
        """Admit a call of an operation for the duration of a block: ``with core.admitted(...) as call``.

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
        answer: Answer
        if (reservation := current_reservation()) is None:
            answer = await self.pipeline.within(call, self._begin(call, request))
        else:
            with reservation.waiting():
                answer = await self.pipeline.within(call, self._begin(call, request))
        return answer

    def stream(self, call: Call, request: Request[Answer]) -> Answer:
        """Return the async iterator of a streaming operation whose call is admitted; the deadline bounds its start."""
        method = self.registry.method(call.operation.identifier, request)
        cluster_id = getattr(request, "cluster_id", None)
        if not call.has_kafka(cluster_id):
            method = functools.partial(self._open_and_stream, method, cluster_id)
        answer: Answer = method(call, request)
        return answer

    async def format_of(self, group: str, instance: str, caller: Caller) -> Format:
        """Return the format of a consumer instance, for a fetch that names none.

        It is looked up under any fetch operation that the access lists leave open. ConsumerInstanceNotFound,
        OperationBlocked.
        """
        blocked = fetch_operation(Format.BINARY)
        names = (name for name in FETCH_OPERATIONS.values() if self.pipeline.permits(self.catalogue[name]))
        found = await self.run(next(names, blocked), GetConsumerInstance(group, instance), caller)
        return found.format

    async def read_json(
        self, read: Callable[[_Text], Answer], text: _Text, timeout: float, *, slow: bool = False
    ) -> Answer:
        """Parse JSON with ``read``, in a thread if that is ``slow`` or the text is large. Raises PayloadTooLarge."""
        return await self._schemas.read_json(read, text, timeout, slow=slow)

    async def in_thread(
        self, work: Callable[[], Answer], *, known: Callable[[], Answer | None] = lambda: None
    ) -> Answer:
        """Run CPU-bound Python code of a face in a thread, unless ``known`` returns the result when its turn comes.

        The work must be bounded, and return its errors: one that it raises would stay in a reference cycle. Raises
        Unavailable if the thread is not free in time.
        """
        try:
            return await self._threads.run(work, wait=_WAIT_SECONDS, limit=_WORK_SECONDS, known=known)
        except (NoFreeThread, TimeoutError):
            raise Unavailable("The thread for large requests is busy; retry.") from None

    async def perform_forwarded(self, call: Call, request: Request[Answer]) -> Answer:
        """Run an operation on a consumer instance of this worker for a call that another worker has admitted."""
        with self.pipeline.admit_forwarded(call):
            run = self.forwardable.method(call.operation.identifier, request)
            answer: Answer = await self.pipeline.within(call, _open_and_run(run, call, request, None))
            return answer

    def end_moved_instances(self) -> None:
        """End the consumer instances that belong to other workers now."""
        self._instances.end_moved()

    def _begin(self, call: Call, request: Request[Any]) -> Awaitable[Any]:
        """Return the coroutine of an operation, with the caller's Kafka clients opened if they are not open yet."""
        self._reserved.check(call.operation, request)
        method = self.registry.method(call.operation.identifier, request)
        cluster_id = getattr(request, "cluster_id", None)
        if not needs_kafka(method) or call.has_kafka(cluster_id):
            running: Awaitable[Any] = method(call, request)
            return running
        return _open_and_run(method, call, request, cluster_id)

    async def _open_and_stream(
        self, method: _Method, cluster_id: str | None, call: Call, request: Any
    ) -> AsyncGenerator[Any, None]:
        await self.pipeline.within(call, call.open_kafka(cluster_id))
        async with contextlib.aclosing(method(call, request)) as found:
            async for entry in found:
                yield entry
                # The next one may take hours to arrive.
                del entry

    async def start(self) -> None:
        """Start the background tasks: expiry of consumer instances, readiness checks, and the state."""
        self._expiry = asyncio.create_task(self._instances.expire(), name="consumer expiry")
        await self._state.start()
        await self.readiness.start()

    async def close(self, timeout: float) -> None:
        """Stop background tasks and close consumer instances. Kafka clients are closed by their creator."""
        if self._expiry is not None:
            self._expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiry
        await self.readiness.close()
        await asyncio.gather(self._state.close(), self._instances.close(timeout))
        await asyncio.gather(self._balancer.close(), self._broker_tasks.close())
        self._groups.close()
        self._schemas.close()
        self._threads.close()


async def _open_and_run(method: _Method, call: Call, request: Any, cluster_id: str | None) -> Any:
    await call.open_kafka(cluster_id)
    return await method(call, request)
