"""Fields of payloads that lead to the resources that a request names."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.clusters import Broker, Cluster
from kafka_facade_graphql.configs import BrokerConfig, ClusterConfig, TopicConfig
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.mutations import Outcome, Shown
from kafka_facade_graphql.topics import Topic


def _cluster(outcome: Outcome, info: Info) -> Awaitable[core_clusters.Cluster]:
    return info.context.loaders.cluster("api.v3.clusters.get", outcome.request.cluster_id)


async def _broker(outcome: Outcome, info: Info) -> core_clusters.Broker:
    request: Any = outcome.request
    found = await info.context.loaders.broker(request.cluster_id, request.broker_id)
    if found is None:
        raise NotFound(broker_id=str(request.broker_id))
    return found


def _topic(outcome: Outcome, info: Info) -> Awaitable[core_topics.Topic]:
    return info.context.loaders.topic(outcome.request.cluster_id, outcome.request.topic_name)


def _topic_config(outcome: Outcome, info: Info) -> Awaitable[core_configs.TopicConfig]:
    request = outcome.request
    return info.context.loaders.config(request.cluster_id, request.topic_name, request.name)


def _broker_config(outcome: Outcome, info: Info) -> Awaitable[core_configs.BrokerConfig]:
    request = outcome.request
    return info.context.loaders.broker_config(request.cluster_id, request.broker_id, request.name)


def _cluster_config(outcome: Outcome, info: Info) -> Awaitable[core_configs.ClusterConfig]:
    return info.context.loaders.cluster_config(outcome.request.cluster_id, outcome.request.name)


CLUSTER: Final = Shown("cluster", Cluster | None, "The cluster.", _cluster)
BROKER: Final = Shown("broker", Broker | None, "The broker.", _broker)
TOPIC: Final = Shown("topic", Topic | None, "The topic.", _topic)
TOPIC_CONFIG: Final = Shown(
    "config",
    TopicConfig | None,
    "The config as the brokers return it; a change may be visible only after a moment.",
    _topic_config,
)
BROKER_CONFIG: Final = Shown(
    "config",
    BrokerConfig | None,
    "The config as the broker returns it; a change may be visible only after a moment.",
    _broker_config,
)
CLUSTER_CONFIG: Final = Shown(
    "config",
    ClusterConfig | None,
    "The config as the brokers return it; a change may be visible only after a moment.",
    _cluster_config,
)
