"""Configs of topics, of brokers, and of all brokers together (KIP-226, KIP-339).

librdkafka cannot read cluster-wide broker configs, and its Python client keeps only one synonym per name although a
broker config has synonyms of the same name at several levels. Therefore these requests use kafka-python if it can
connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kafka_facade.core.configs.model import (
    AlterOperation,
    BrokerConfig,
    ClusterConfig,
    Config,
    ConfigAlteration,
    ConfigSynonym,
    TopicConfig,
)
from kafka_facade.core.errors import (
    FacadeError,
    KafkaTimeout,
    NotFound,
    RetriableKafkaError,
)
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.admin import clients, librdkafka_configs
from kafka_facade.kafka.admin.brokers import Brokers
from kafka_facade.kafka.admin.clients import ALL_BROKERS, Client
from kafka_facade.kafka.admin.default_configs import default_configs
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.admin.visibility import looks
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.joined import JoinedReads
from kafka_facade.kafka.protocol.client import ProtocolClient

# org.apache.kafka.common.config.ConfigResource.Type
_TOPIC: Final = 2
_BROKER: Final = 4
# org.apache.kafka.clients.admin.AlterConfigOp.OpType
_OPERATIONS: Final = {AlterOperation.SET: 0, AlterOperation.DELETE: 1}
# org.apache.kafka.common.requests.DescribeConfigsResponse.ConfigSource
_SOURCES: Final = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
    6: "DYNAMIC_BROKER_LOGGER_CONFIG",
    7: "DYNAMIC_CLIENT_METRICS_CONFIG",
    8: "GROUP_CONFIG",
}
_DEFAULT: Final = 5
_TOPICS_AT_ONCE: Final = 100
_BROKERS_AT_ONCE: Final = 32
# How long (s) to wait for a change to become visible. Kafka may normalize a value; then the comparison never succeeds.
_VISIBLE_SECONDS: Final = 1.0


class Configs:
    """The config port over one cluster."""

    def __init__(self, admin: Admin, protocol: ProtocolClient) -> None:
        self._admin = admin
        self._protocol = protocol
        self._brokers = Brokers(admin, protocol)
        self._joined = JoinedReads()

    async def topic_configs(self, names: Sequence[str], timeout: float) -> list[list[TopicConfig] | FacadeError]:
        """The configs of these topics, in order, each ordered by name; sends one request per 100 topics."""
        if not names:
            return []
        key = "topics", tuple(names)
        return await self._joined.ask(key, timeout, lambda left: self._topic_configs(names, left))

    async def _topic_configs(self, names: Sequence[str], timeout: float) -> list[list[TopicConfig] | FacadeError]:
        deadline = time.monotonic() + timeout
        cluster_id = await self._admin.cluster_id(timeout)
        unique = list(dict.fromkeys(names))
        found: dict[str, list[TopicConfig] | FacadeError] = {}
        for start in range(0, len(unique), _TOPICS_AT_ONCE):
            part = unique[start : start + _TOPICS_AT_ONCE]
            for name, result in (await self._describe(_TOPIC, part, _left(deadline))).items():
                await time_slice()
                found[name] = (
                    result
                    if isinstance(result, FacadeError)
                    else [TopicConfig(cluster_id=cluster_id, topic_name=name, **fields) for fields in result]
                )
        return [found[name] for name in names]

    async def default_topic_configs(
        self, names: Sequence[str], timeout: float
    ) -> list[list[TopicConfig] | FacadeError]:
        """The configs that new topics of these names would have, in order, each ordered by name."""
        if not names:
            return []
        deadline = time.monotonic() + timeout
        cluster_id = await self._admin.cluster_id(timeout)
        results = await default_configs(self._protocol, names, _left(deadline))
        found: list[list[TopicConfig] | FacadeError] = []
        for name, result in zip(names, results, strict=True):
            await time_slice()
            found.append(
                result
                if isinstance(result, FacadeError)
                else [
                    TopicConfig(cluster_id=cluster_id, topic_name=name, **fields)
                    for fields in _fields(result, _only_synonym)
                ]
            )
        return found

    async def broker_configs(
        self, broker_ids: Sequence[int] | None, timeout: float
    ) -> list[list[BrokerConfig] | FacadeError]:
        """The configs of these brokers, in order, or of all live ones; asks each broker itself, concurrently."""
        if broker_ids is not None:
            # Each broker gets a part of the time, so that one that hangs is one error.
            return await self._broker_configs(broker_ids, timeout)
        return await self._joined.ask("brokers", timeout, lambda left: self._broker_configs(None, left))

    async def _broker_configs(
        self, broker_ids: Sequence[int] | None, timeout: float
    ) -> list[list[BrokerConfig] | FacadeError]:
        deadline = time.monotonic() + timeout
        registrations = await self._brokers.registrations(timeout)
        known = registrations.alive
        slots = asyncio.Semaphore(_BROKERS_AT_ONCE)

        async def ask(broker_id: int) -> list[BrokerConfig] | FacadeError:
            name = str(broker_id)
            if broker_id not in known:
                return NotFound(f"Broker {name} cannot be found.", broker_id=name)
            if not known[broker_id]:
                return RetriableKafkaError(f"Broker {name} is not available.", broker_id=name)
            try:
                async with slots:
                    result = (await self._describe(_BROKER, [name], _left(deadline), broker_id))[name]
            except FacadeError as error:
                return error
            if isinstance(result, FacadeError):
                return result
            await time_slice()
            return [
                BrokerConfig(cluster_id=registrations.cluster_id, broker_id=broker_id, **fields) for fields in result
            ]

        wanted = sorted(broker for broker, live in known.items() if live) if broker_ids is None else broker_ids
        async with asyncio.TaskGroup() as tasks:
            asked = {broker_id: tasks.create_task(ask(broker_id)) for broker_id in dict.fromkeys(wanted)}
        return [asked[broker_id].result() for broker_id in wanted]

    async def cluster_configs(self, timeout: float) -> list[ClusterConfig]:
        """The dynamic configs that are set for all brokers, ordered by name."""
        deadline = time.monotonic() + timeout
        cluster_id = await self._admin.cluster_id(timeout)
        result = (await self._describe(_BROKER, [ALL_BROKERS], _left(deadline)))[ALL_BROKERS]
        if isinstance(result, FacadeError):
            raise result
        return [ClusterConfig(cluster_id=cluster_id, **fields) for fields in result]

    async def alter_topic_configs(
        self, changes: Mapping[str, Sequence[ConfigAlteration]], validate_only: bool, timeout: float
    ) -> dict[str, FacadeError]:
        """Alter configs of topics in one request; return the errors of topics that failed."""
        deadline = time.monotonic() + timeout
        answered = await self._alter(_TOPIC, changes, validate_only, timeout)
        failed = {name: error for name, error in answered.items() if error is not None}
        altered = [name for name in changes if name not in failed]
        if altered and not validate_only:

            async def shown(left: float) -> bool:
                found = await self.topic_configs(altered, left)
                return all(
                    isinstance(configs, FacadeError) or _shows(configs, changes[name], "DYNAMIC_TOPIC_CONFIG")
                    for name, configs in zip(altered, found, strict=True)
                )

            await _until(shown, deadline)
        return failed

    async def alter_broker_configs(
        self, broker_id: int, changes: Sequence[ConfigAlteration], validate_only: bool, timeout: float
    ) -> None:
        """Alter configs of one broker; only the broker itself accepts the request."""
        deadline = time.monotonic() + timeout
        name = str(broker_id)
        answered = await self._alter(_BROKER, {name: changes}, validate_only, timeout, broker_id)
        if (error := answered[name]) is not None:
            raise error

        async def shown(left: float) -> bool:
            [configs] = await self.broker_configs([broker_id], left)
            return isinstance(configs, FacadeError) or _shows(configs, changes, "DYNAMIC_BROKER_CONFIG")

        if not validate_only:
            await _until(shown, deadline)

    async def alter_cluster_configs(
        self, changes: Sequence[ConfigAlteration], validate_only: bool, timeout: float
    ) -> None:
        """Alter the dynamic configs that all brokers share."""
        deadline = time.monotonic() + timeout
        answered = await self._alter(_BROKER, {ALL_BROKERS: changes}, validate_only, timeout)
        if (error := answered[ALL_BROKERS]) is not None:
            raise error

        async def shown(left: float) -> bool:
            return _shows(await self.cluster_configs(left), changes, "DYNAMIC_DEFAULT_BROKER_CONFIG")

        if not validate_only:
            await _until(shown, deadline)

    async def _describe(
        self, kind: int, names: Sequence[str], timeout: float, node: int | None = None
    ) -> dict[str, list[dict[str, Any]] | FacadeError]:
        """The common fields of each resource's configs, ordered by name."""
        if clients.configs(self._protocol, names) is Client.LIBRDKAFKA:
            return await librdkafka_configs.describe(self._admin.client, kind, names, timeout)
        resources = [(kind, name, None) for name in names]
        answer = await self._protocol.send(
            lambda messages: messages.DescribeConfigsRequest(resources=resources, include_synonyms=True, min_version=1),
            timeout,
            node=node,
        )
        found: dict[str, list[dict[str, Any]] | FacadeError] = {}
        synonyms = _Synonyms()
        for result in answer.results:
            await time_slice()
            found[result.resource_name] = _error(kind, result) or _fields(result, synonyms.of)
        return found

    async def _alter(
        self,
        kind: int,
        changes: Mapping[str, Sequence[ConfigAlteration]],
        validate_only: bool,
        timeout: float,
        node: int | None = None,
    ) -> dict[str, FacadeError | None]:
        """The error of each resource, or None."""
        if clients.configs(self._protocol, changes) is Client.LIBRDKAFKA:
            return await librdkafka_configs.alter(self._admin.client, kind, changes, validate_only, timeout)
        resources = [
            (kind, name, [(change.name, _OPERATIONS[change.operation], _value(change)) for change in of_one])
            for name, of_one in changes.items()
        ]
        answer = await self._protocol.send(
            lambda messages: messages.IncrementalAlterConfigsRequest(resources=resources, validate_only=validate_only),
            timeout,
            node=node,
        )
        return {response.resource_name: _error(kind, response) for response in answer.responses}


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise KafkaTimeout
    return left


def _value(change: ConfigAlteration) -> str | None:
    return change.value if change.operation is AlterOperation.SET else None


def _error(kind: int, result: Any) -> FacadeError | None:
    if not result.error_code:
        return None
    about = {} if result.resource_name == ALL_BROKERS else {librdkafka_configs.NAMED[kind]: result.resource_name}
    return from_code(result.error_code, result.error_message, **about)


class _Synonyms:
    """Creates config synonyms and shares equal ones: most topics have the same."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], list[ConfigSynonym]] = {}

    def of(self, entry: Any) -> list[ConfigSynonym]:
        """The synonyms of one config, in order."""
        hidden = entry.is_sensitive
        key = tuple((synonym.name, None if hidden else synonym.value, synonym.source) for synonym in entry.synonyms)
        made = self._made.get(key)
        if made is None:
            made = [ConfigSynonym(name, value, _SOURCES.get(source, "UNKNOWN")) for name, value, source in key]
            self._made[key] = made
        return made


def _only_synonym(entry: Any) -> list[ConfigSynonym]:
    """The source that gives a default its value: Kafka tells no other."""
    value = None if entry.is_sensitive else entry.value
    return [ConfigSynonym(entry.name, value, _SOURCES.get(entry.config_source, "UNKNOWN"))]


def _fields(result: Any, synonyms: Callable[[Any], list[ConfigSynonym]]) -> list[dict[str, Any]]:
    """The common fields of configs, ordered by name."""
    return [
        {
            "name": entry.name,
            "value": None if entry.is_sensitive else entry.value,
            "is_read_only": entry.read_only,
            "is_sensitive": entry.is_sensitive,
            "source": _SOURCES.get(entry.config_source, "UNKNOWN"),
            "synonyms": synonyms(entry),
            "is_default": entry.config_source == _DEFAULT,
        }
        for entry in sorted(result.configs, key=lambda entry: str(entry.name))
    ]


def _shows(configs: Sequence[Config], changes: Iterable[ConfigAlteration], dynamic: str) -> bool:
    """Return whether the configs reflect the changes; ``dynamic`` is the source of altered configs."""
    altered = {config.name: config for config in configs if config.source == dynamic}
    for change in changes:
        config = altered.get(change.name)
        if change.operation is AlterOperation.DELETE:
            if config is not None:
                return False
        elif config is None or not (config.is_sensitive or config.value == change.value):
            return False
    return True


async def _until(shown: Callable[[float], Awaitable[bool]], deadline: float) -> None:
    """Wait until a change that has been made is visible to callers."""
    with contextlib.suppress(FacadeError):
        async for left in looks(min(deadline, time.monotonic() + _VISIBLE_SECONDS)):
            if await shown(left):
                return
