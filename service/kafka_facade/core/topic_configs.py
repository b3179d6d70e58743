"""Configs of topics (reference: "Configs (v3)"; KIP-226, KIP-339)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core.catalogue import implements
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, NotFound
from kafka_facade.core.identity import ClusterIdentity
from kafka_facade.core.pipeline import Call
from kafka_facade.core.ports import AdminPort
from kafka_facade.core.requests import (
    AlterTopicConfigs,
    ConfigAlteration,
    GetTopicConfig,
    ListTopicConfigs,
    ResetTopicConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.resources import AlterOperation, TopicConfig


class TopicConfigs:
    """Operations on the configs of topics."""

    def __init__(self, admin: AdminPort, identity: ClusterIdentity) -> None:
        self._admin = admin
        self._identity = identity

    @implements("api.v3.topic-configs.list")
    async def list_configs(self, call: Call, request: ListTopicConfigs) -> Sequence[TopicConfig]:
        """The configs of one topic, or of all but internal ones, ordered by topic and name; TopicNotFound."""
        await self._identity.check(request.cluster_id, call)
        if request.topic_name is not None:
            return await self._of(call, request.topic_name)
        topics = await self._admin.list_topics(call.remaining)
        names = [entry.topic.topic_name for entry in topics if not entry.topic.is_internal]
        found = await self._admin.topic_configs(names, call.remaining)
        # A topic deleted since the listing is no longer there to be listed.
        return [config for configs in found if not isinstance(configs, FacadeError) for config in configs]

    async def list_many(
        self, call: Call, cluster_id: str | None, names: Sequence[str]
    ) -> Sequence[Sequence[TopicConfig] | FacadeError]:
        """The configs of many topics in one request to Kafka; a topic whose configs can't be had is its error."""
        await self._identity.check(cluster_id, call)
        return await self._admin.topic_configs(names, call.remaining)

    @implements("api.v3.topic-configs.get")
    async def get_config(self, call: Call, request: GetTopicConfig) -> TopicConfig:
        """One config; TopicNotFound, NotFound for a name that topics don't have."""
        await self._identity.check(request.cluster_id, call)
        for config in await self._of(call, request.topic_name):
            if config.name == request.name:
                return config
        raise NotFound(name=request.name)

    @implements("api.v3.topic-configs.update")
    async def update_config(self, call: Call, request: UpdateTopicConfig) -> None:
        """Set one config; TopicNotFound, NotFound, InvalidKafkaRequest for a value that Kafka refuses."""
        change = ConfigAlteration(request.name, request.value)
        await self.alter_configs(call, AlterTopicConfigs(request.cluster_id, request.topic_name, [change]))

    @implements("api.v3.topic-configs.delete")
    async def reset_config(self, call: Call, request: ResetTopicConfig) -> None:
        """Put one config back to its default; TopicNotFound, NotFound."""
        cluster_id = await self._identity.check(request.cluster_id, call)
        if all(config.name != request.name for config in await self._of(call, request.topic_name)):
            raise NotFound(
                f"Config {request.name} cannot be found for TOPIC {request.topic_name} in cluster {cluster_id}.",
                name=request.name,
            )
        change = ConfigAlteration(request.name, operation=AlterOperation.DELETE)
        await self._admin.alter_topic_configs(request.topic_name, [change], False, call.remaining)

    @implements("api.v3.topic-configs.alter")
    async def alter_configs(self, call: Call, request: AlterTopicConfigs) -> None:
        """Set or reset several configs at once, or only validate that; all of them or none."""
        await self._identity.check(request.cluster_id, call)
        known = {config.name for config in await self._of(call, request.topic_name)}
        for change in request.data:
            if change.name not in known:
                raise NotFound(name=change.name)
            if change.operation is AlterOperation.SET and change.value is None:
                raise InvalidKafkaRequest(f"Null value not supported for : {change.name}", name=change.name)
        if request.data:
            await self._admin.alter_topic_configs(
                request.topic_name, request.data, request.validate_only, call.remaining
            )

    async def _of(self, call: Call, topic: str) -> Sequence[TopicConfig]:
        [found] = await self._admin.topic_configs([topic], call.remaining)
        if isinstance(found, FacadeError):
            raise found
        return found
