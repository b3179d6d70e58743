"""Configs of topics, of brokers and of all brokers together in the graph."""

from __future__ import annotations

from typing import Any

from strawberry.relay import Node

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.resource import resource


@resource(
    description="A source of a config's value (KIP-226).",
    fields={
        "name": "The config's name there.",
        "value": "The value in this source; null if it is sensitive.",
        "source": "The source: Kafka's ConfigSource.",
    },
)
class ConfigSynonym(core_configs.ConfigSynonym):
    """A synonym of a config."""


CONFIG_FIELDS = {
    "name": "The config's name.",
    "value": "Its value; null if it is sensitive.",
    "is_read_only": "Whether it is read-only.",
    "is_sensitive": "Whether its value is sensitive.",
    "source": "The source of the value: Kafka's ConfigSource.",
    "is_default": "Whether the value is a default.",
}


@resource(description="A config of a topic.", fields=CONFIG_FIELDS)
class TopicConfig(core_configs.TopicConfig, Node):
    """A config of a topic."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name, root.name)

    @field(graphql_type=link("topics.Topic"), description="The topic that it belongs to.")
    async def topic(self, info: Info) -> core_topics.Topic:
        loaders = info.context.loaders
        return (await loaders.described("api.v3.topics.get", self.cluster_id, self.topic_name)).topic

    @field(
        name="synonyms",
        graphql_type=list[ConfigSynonym],
        description="All sources with a value, the effective one first.",
    )
    def all_synonyms(self) -> list[core_configs.ConfigSynonym]:
        return self.synonyms


@resource(description="A config that a new topic would have.", fields=CONFIG_FIELDS)
class TopicDefaultConfig(core_configs.TopicConfig):
    """A default. It has no id, because caches of clients would take it for the config of the topic."""

    @field(
        name="synonyms",
        graphql_type=list[ConfigSynonym],
        description="The source of the value.",
    )
    def all_synonyms(self) -> list[core_configs.ConfigSynonym]:
        return self.synonyms


@resource(description="A config of a broker.", fields=CONFIG_FIELDS)
class BrokerConfig(core_configs.BrokerConfig, Node):
    """A config of a broker."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.broker_id, root.name)

    @field(graphql_type=link("clusters.Broker"), description="The broker that it belongs to.")
    async def broker(self, info: Info) -> core_clusters.Broker:
        found = await info.context.loaders.broker(self.cluster_id, self.broker_id)
        if found is None:
            raise NotFound(broker_id=str(self.broker_id))
        return found

    @field(
        name="synonyms",
        graphql_type=list[ConfigSynonym],
        description="All sources with a value, the effective one first.",
    )
    def all_synonyms(self) -> list[core_configs.ConfigSynonym]:
        return self.synonyms


@resource(
    description="A dynamic config that all brokers of a cluster share.",
    fields={**CONFIG_FIELDS, "config_type": "The kind of config, which is BROKER."},
)
class ClusterConfig(core_configs.ClusterConfig, Node):
    """A config of all brokers."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.name)

    @field(graphql_type=link("clusters.Cluster"), description="The cluster that it belongs to.")
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)

    @field(
        name="synonyms",
        graphql_type=list[ConfigSynonym],
        description="All sources with a value, the effective one first.",
    )
    def all_synonyms(self) -> list[core_configs.ConfigSynonym]:
        return self.synonyms
