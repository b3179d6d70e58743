"""Configs of topics (reference: "Configs (v3)"; KIP-226, KIP-339)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.configs.changes import check_values, config_not_found, find
from kafka_facade.core.configs.model import (
    AlterMultipleTopicConfigs,
    AlterOperation,
    AlterTopicConfigs,
    ConfigAlteration,
    GetTopicConfig,
    ListTopicConfigs,
    ListTopicDefaultConfigs,
    ReadTopicConfigs,
    ReadTopicDefaultConfigs,
    ResetTopicConfig,
    TopicConfig,
    TopicConfigFailure,
    UpdateTopicConfig,
)
from kafka_facade.core.errors import FacadeError, InvalidTopicName, NotFound
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.topics.operations import is_legal_topic_name


class TopicConfigs:
    """Operations on the configs of topics."""

    @implements("api.v3.topic-configs.list")
    @also_answers("api.v2.topics.get")
    async def list_configs(self, call: Call, request: ListTopicConfigs) -> Sequence[TopicConfig]:
        """The configs of one topic, or of all but internal ones, ordered by topic and name; TopicNotFound."""
        await call.kafka.cluster.check(request.cluster_id, call)
        if request.topic_name is not None:
            return await self._of(call, request.topic_name)
        topics = await call.kafka.admin.list_topics(call.remaining)
        names = [entry.topic.topic_name for entry in topics if not entry.topic.is_internal]
        found = await call.kafka.configs.topic_configs(names, call.remaining)
        # Skip topics that were deleted since the listing.
        return [config for configs in found if not isinstance(configs, FacadeError) for config in configs]

    @also_answers("api.v3.topic-configs.list", "api.v3.topic-configs.get")
    async def read_configs(
        self, call: Call, request: ReadTopicConfigs
    ) -> Sequence[Sequence[TopicConfig] | FacadeError]:
        """The configs of many topics at once; a topic whose configs cannot be read is replaced by its error."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return await call.kafka.configs.topic_configs(request.keys, call.remaining)

    @implements("api.v3.topic-default-configs.list")
    async def list_default_configs(self, call: Call, request: ListTopicDefaultConfigs) -> Sequence[TopicConfig]:
        """The configs that a new topic of this name would have, ordered by name; InvalidTopicName.

        The topic need not exist.
        """
        asked = ReadTopicDefaultConfigs(request.cluster_id, [request.topic_name])
        [found] = await self.read_default_configs(call, asked)
        if isinstance(found, FacadeError):
            raise found
        return found

    @also_answers("api.v3.topic-default-configs.list")
    async def read_default_configs(
        self, call: Call, request: ReadTopicDefaultConfigs
    ) -> Sequence[Sequence[TopicConfig] | FacadeError]:
        """The default configs of many topics at once."""
        await call.kafka.cluster.check(request.cluster_id, call)
        legal = [name for name in request.keys if is_legal_topic_name(name)]
        found = iter(await call.kafka.configs.default_topic_configs(legal, call.remaining))
        return [
            next(found) if is_legal_topic_name(name) else InvalidTopicName(topic_name=name, field="topic_name")
            for name in request.keys
        ]

    @implements("api.v3.topic-configs.get")
    async def get_config(self, call: Call, request: GetTopicConfig) -> TopicConfig:
        """One config; TopicNotFound, NotFound for a name that topics do not have."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return find(await self._of(call, request.topic_name), request.name)

    @implements("api.v3.topic-configs.update")
    async def update_config(self, call: Call, request: UpdateTopicConfig) -> None:
        """Set one config; TopicNotFound, NotFound, InvalidKafkaRequest for a value that Kafka rejects."""
        await self._change(call, request.cluster_id, request.topic_name, ConfigAlteration(request.name, request.value))

    @implements("api.v3.topic-configs.delete")
    async def reset_config(self, call: Call, request: ResetTopicConfig) -> None:
        """Reset one config to its default; TopicNotFound, NotFound."""
        change = ConfigAlteration(request.name, operation=AlterOperation.DELETE)
        await self._change(call, request.cluster_id, request.topic_name, change)

    @implements("api.v3.topic-configs.alter")
    async def alter_configs(self, call: Call, request: AlterTopicConfigs) -> None:
        """Set or reset several configs at once, or only validate the changes; all or nothing."""
        limits.check_length(request.data, limits.CONFIGS, "data")
        await call.kafka.cluster.check(request.cluster_id, call)
        changes = {request.topic_name: request.data}
        await self._check(call, changes, {request.topic_name: "data"})
        for failure in await self._alter(call, changes, request.validate_only):
            raise failure.error

    @implements("api.v3.topic-configs.alter-multi")
    async def alter_multiple(self, call: Call, request: AlterMultipleTopicConfigs) -> Sequence[TopicConfigFailure]:
        """Set or reset configs of several topics, of each topic all or none; return the topics that Kafka rejected.

        TopicNotFound, NotFound, InvalidKafkaRequest before anything is changed.
        """
        limits.check_length(request.data, limits.CONFIG_TOPICS, "data")
        for index, entry in enumerate(request.data):
            limits.check_length(entry.configs, limits.CONFIGS, f"data[{index}].configs")
        await call.kafka.cluster.check(request.cluster_id, call)
        changes = {entry.topic_name: entry.configs for entry in request.data}
        places = {entry.topic_name: f"data[{index}].configs" for index, entry in enumerate(request.data)}
        await self._check(call, changes, places)
        return await self._alter(call, changes, request.validate_only)

    async def _change(self, call: Call, cluster_id: str | None, topic: str, change: ConfigAlteration) -> None:
        own = await call.kafka.cluster.check(cluster_id, call)
        if all(config.name != change.name for config in await self._of(call, topic)):
            raise config_not_found(change.name, f"TOPIC {topic}", own)
        check_values([change])
        for failure in await self._alter(call, {topic: [change]}, False):
            raise failure.error

    async def _check(self, call: Call, changes: dict[str, list[ConfigAlteration]], places: dict[str, str]) -> None:
        """``places`` are the fields of the request that hold the changes."""
        for topic in changes:
            _require_legal(topic)
        found = await call.kafka.configs.topic_configs(list(changes), call.remaining)
        for configs, (topic, wanted) in zip(found, changes.items(), strict=True):
            if isinstance(configs, FacadeError):
                raise configs
            known = {config.name for config in configs}
            for change in wanted:
                if change.name not in known:
                    raise NotFound(name=change.name)
            check_values(wanted, places[topic])

    async def _alter(
        self, call: Call, changes: dict[str, list[ConfigAlteration]], validate_only: bool
    ) -> Sequence[TopicConfigFailure]:
        changes = {topic: wanted for topic, wanted in changes.items() if wanted}
        if not changes:
            return []
        failed = await call.kafka.configs.alter_topic_configs(changes, validate_only, call.remaining)
        return [TopicConfigFailure(topic, error) for topic, error in failed.items()]

    async def _of(self, call: Call, topic: str) -> Sequence[TopicConfig]:
        _require_legal(topic)
        [found] = await call.kafka.configs.topic_configs([topic], call.remaining)
        if isinstance(found, FacadeError):
            raise found
        return found


def _require_legal(topic: str) -> None:
    if not is_legal_topic_name(topic):
        raise InvalidTopicName(topic_name=topic, field="topic_name")
