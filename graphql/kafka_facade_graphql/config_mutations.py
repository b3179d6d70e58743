"""Mutations of configs: an input object and a payload each."""

from __future__ import annotations

from typing import Annotated

import strawberry

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.clusters import Broker, Cluster
from kafka_facade_graphql.configs import BrokerConfig, ClusterConfig, TopicConfig
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.topics import Topic
from kafka_facade_graphql.user_errors import UserError

_CLUSTER = "The cluster's id in Kafka."
_BROKER = "The broker's id."
_NAME = "The config's name."
_VALUE = "Its new value."
_VALIDATE_ONLY = "Only check that they could be made."

AlterOperation = strawberry.enum(
    core_configs.AlterOperation, description="What an alteration does to a config (KIP-339)."
)


@strawberry.input(description="A config to set.")
class UpdateTopicConfigInput:
    """Input of updateTopicConfig."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")
    name: str = strawberry.field(description="The config's name.")
    value: str | None = strawberry.field(default=None, description="Its new value.")


@strawberry.input(description="A config to put back to its default.")
class ResetTopicConfigInput:
    """Input of resetTopicConfig."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")
    name: str = strawberry.field(description="The config's name.")


@strawberry.input(description="One alteration of a config.")
class ConfigAlterationInput:
    """A config to set or to reset."""

    name: str = strawberry.field(description="The config's name.")
    value: str | None = strawberry.field(default=None, description="Its new value, for SET.")
    operation: AlterOperation = strawberry.field(  # type: ignore[valid-type]
        default=core_configs.AlterOperation.SET, description="Whether to set it, or to put it back to its default."
    )


@strawberry.input(description="Alterations of a topic's configs: all of them happen, or none.")
class AlterTopicConfigsInput:
    """Input of alterTopicConfigs."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")
    data: list[ConfigAlterationInput] = strawberry.field(description="The alterations.")
    validate_only: bool = strawberry.field(default=False, description="Only check that they could be made.")


@strawberry.type(description="What a mutation of a topic's configs answers.")
class ConfigsPayload:
    """A topic after its configs were written."""

    cluster_id: strawberry.Private[str]
    topic_name: strawberry.Private[str]

    @field(description="The topic.", graphql_type=Topic | None)
    async def topic(self, info: Info) -> core_topics.Topic:
        return await info.context.loaders.topic(self.cluster_id, self.topic_name)


@strawberry.type(description="What a mutation of one config answers.")
class ConfigPayload(ConfigsPayload):
    """A config after it was written."""

    name: strawberry.Private[str]

    @field(
        description="The config as the brokers tell it; a change may take a moment to show.",
        graphql_type=TopicConfig | None,
    )
    async def config(self, info: Info) -> core_configs.TopicConfig:
        return await info.context.loaders.config(self.cluster_id, self.topic_name, self.name)


@strawberry.type(description="The config that was set.")
class UpdateTopicConfigPayload(ConfigPayload):
    """Answer of updateTopicConfig."""


@strawberry.type(description="The config that was put back.")
class ResetTopicConfigPayload(ConfigPayload):
    """Answer of resetTopicConfig."""


@strawberry.type(description="The topic whose configs were altered, or would have been.")
class AlterTopicConfigsPayload(ConfigsPayload):
    """Answer of alterTopicConfigs."""


def alterations(given: list[ConfigAlterationInput]) -> list[core_configs.ConfigAlteration]:
    """The alterations as the core takes them."""
    return [core_configs.ConfigAlteration(entry.name, entry.value, entry.operation) for entry in given]


@strawberry.input(description="Alterations of the configs of one topic: all of them happen, or none.")
class TopicConfigAlterationsInput:
    """A part of the input of alterMultipleTopicConfigs."""

    topic_name: str = strawberry.field(description="The topic's name.")
    configs: list[ConfigAlterationInput] = strawberry.field(description="The alterations.")


@strawberry.input(description="Alterations of the configs of several topics; of a topic's entries the last one counts.")
class AlterMultipleTopicConfigsInput:
    """Input of alterMultipleTopicConfigs."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    data: list[TopicConfigAlterationsInput] = strawberry.field(description="The alterations, by topic.")
    validate_only: bool = strawberry.field(default=False, description=_VALIDATE_ONLY)


@strawberry.input(description="A config of a broker to set.")
class UpdateBrokerConfigInput:
    """Input of updateBrokerConfig."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    broker_id: int = strawberry.field(description=_BROKER)
    name: str = strawberry.field(description=_NAME)
    value: str | None = strawberry.field(default=None, description=_VALUE)


@strawberry.input(description="A broker's own setting of a config to take back.")
class ResetBrokerConfigInput:
    """Input of resetBrokerConfig."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    broker_id: int = strawberry.field(description=_BROKER)
    name: str = strawberry.field(description=_NAME)


@strawberry.input(description="Alterations of a broker's configs: all of them happen, or none.")
class AlterBrokerConfigsInput:
    """Input of alterBrokerConfigs."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    broker_id: int = strawberry.field(description=_BROKER)
    data: list[ConfigAlterationInput] = strawberry.field(description="The alterations.")
    validate_only: bool = strawberry.field(default=False, description=_VALIDATE_ONLY)


@strawberry.input(description="A dynamic config to set for all brokers.")
class UpdateClusterConfigInput:
    """Input of updateClusterConfig."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    name: str = strawberry.field(description=_NAME)
    value: str | None = strawberry.field(default=None, description=_VALUE)


@strawberry.input(description="A dynamic config of all brokers to delete.")
class ResetClusterConfigInput:
    """Input of resetClusterConfig."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    name: str = strawberry.field(description=_NAME)


@strawberry.input(description="Alterations of the configs that all brokers share: all of them happen, or none.")
class AlterClusterConfigsInput:
    """Input of alterClusterConfigs."""

    cluster_id: strawberry.ID = strawberry.field(description=_CLUSTER)
    data: list[ConfigAlterationInput] = strawberry.field(description="The alterations.")
    validate_only: bool = strawberry.field(default=False, description=_VALIDATE_ONLY)


@strawberry.type(description="A topic whose configs were not altered.")
class TopicConfigFailure:
    """A topic that Kafka refused."""

    topic_name: str = strawberry.field(description="The topic's name.")
    error: UserError = strawberry.field(description="Why they were not altered.")


@strawberry.type(description="What became of the alterations of several topics' configs.")
class AlterMultipleTopicConfigsPayload:
    """Answer of alterMultipleTopicConfigs."""

    failures: list[TopicConfigFailure] = strawberry.field(
        description="The topics that Kafka refused; the configs of all others are altered, or could be."
    )


@strawberry.type(description="The broker whose configs were altered, or would have been.")
class AlterBrokerConfigsPayload:
    """Answer of alterBrokerConfigs."""

    cluster_id: strawberry.Private[str]
    broker_id: strawberry.Private[int]

    @field(description="The broker.", graphql_type=Broker | None)
    async def broker(self, info: Info) -> core_clusters.Broker:
        found = await info.context.loaders.broker(self.cluster_id, self.broker_id)
        if found is None:
            raise NotFound(broker_id=str(self.broker_id))
        return found


@strawberry.type(description="The config of a broker that was set.")
class UpdateBrokerConfigPayload(AlterBrokerConfigsPayload):
    """Answer of updateBrokerConfig."""

    name: strawberry.Private[str]

    @field(
        description="The config as the broker tells it; a change may take a moment to show.",
        graphql_type=BrokerConfig | None,
    )
    async def config(self, info: Info) -> core_configs.BrokerConfig:
        return await info.context.loaders.broker_config(self.cluster_id, self.broker_id, self.name)


@strawberry.type(description="The config of a broker that was put back.")
class ResetBrokerConfigPayload(UpdateBrokerConfigPayload):
    """Answer of resetBrokerConfig."""


@strawberry.type(description="The cluster whose configs were altered, or would have been.")
class AlterClusterConfigsPayload:
    """Answer of alterClusterConfigs."""

    cluster_id: strawberry.Private[str]

    @field(description="The cluster.", graphql_type=Cluster | None)
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)


@strawberry.type(description="The config of all brokers that was set.")
class UpdateClusterConfigPayload(AlterClusterConfigsPayload):
    """Answer of updateClusterConfig."""

    name: strawberry.Private[str]

    @field(
        description="The config as the brokers tell it; a change may take a moment to show.",
        graphql_type=ClusterConfig | None,
    )
    async def config(self, info: Info) -> core_configs.ClusterConfig:
        return await info.context.loaders.cluster_config(self.cluster_id, self.name)


@strawberry.type(description="The cluster after a config of all its brokers was deleted.")
class ResetClusterConfigPayload(AlterClusterConfigsPayload):
    """Answer of resetClusterConfig."""


@strawberry.type
class TopicConfigMutations:
    """The mutations of the configs of one topic; a part of the mutation root."""

    @field(description="Set one config of a topic.")
    async def update_topic_config(
        self, info: Info, input: Annotated[UpdateTopicConfigInput, argument("The config to set.")]
    ) -> UpdateTopicConfigPayload | None:
        context = info.context
        request = core_configs.UpdateTopicConfig(input.cluster_id, input.topic_name, input.name, input.value)
        await context.change("api.v3.topic-configs.update", request)
        return UpdateTopicConfigPayload(cluster_id=input.cluster_id, topic_name=input.topic_name, name=input.name)

    @field(description="Put one config of a topic back to its default.")
    async def reset_topic_config(
        self, info: Info, input: Annotated[ResetTopicConfigInput, argument("The config to put back.")]
    ) -> ResetTopicConfigPayload | None:
        context = info.context
        request = core_configs.ResetTopicConfig(input.cluster_id, input.topic_name, input.name)
        await context.change("api.v3.topic-configs.delete", request)
        return ResetTopicConfigPayload(cluster_id=input.cluster_id, topic_name=input.topic_name, name=input.name)

    @field(description="Set or put back several configs of a topic at once.")
    async def alter_topic_configs(
        self, info: Info, input: Annotated[AlterTopicConfigsInput, argument("The alterations.")]
    ) -> AlterTopicConfigsPayload | None:
        context = info.context
        changes = alterations(input.data)
        request = core_configs.AlterTopicConfigs(input.cluster_id, input.topic_name, changes, input.validate_only)
        await context.change("api.v3.topic-configs.alter", request)
        return AlterTopicConfigsPayload(cluster_id=input.cluster_id, topic_name=input.topic_name)


@strawberry.type
class ConfigMutations:
    """The mutations of configs of brokers and of several topics; a part of the mutation root."""

    @field(description="Set or put back configs of several topics at once.")
    async def alter_multiple_topic_configs(
        self, info: Info, input: Annotated[AlterMultipleTopicConfigsInput, argument("The alterations.")]
    ) -> AlterMultipleTopicConfigsPayload | None:
        context = info.context
        data = [
            core_configs.TopicConfigAlterations(entry.topic_name, alterations(entry.configs)) for entry in input.data
        ]
        request = core_configs.AlterMultipleTopicConfigs(input.cluster_id, data, input.validate_only)
        failures = await context.change("api.v3.topic-configs.alter-multi", request)
        return AlterMultipleTopicConfigsPayload(
            failures=[
                TopicConfigFailure(topic_name=failure.topic_name, error=UserError.of(failure.error))
                for failure in failures
            ]
        )

    @field(description="Set one config of a broker.")
    async def update_broker_config(
        self, info: Info, input: Annotated[UpdateBrokerConfigInput, argument("The config to set.")]
    ) -> UpdateBrokerConfigPayload | None:
        context = info.context
        request = core_configs.UpdateBrokerConfig(input.cluster_id, input.broker_id, input.name, input.value)
        await context.change("api.v3.broker-configs.update", request)
        return UpdateBrokerConfigPayload(cluster_id=input.cluster_id, broker_id=input.broker_id, name=input.name)

    @field(description="Take back a broker's own setting of a config.")
    async def reset_broker_config(
        self, info: Info, input: Annotated[ResetBrokerConfigInput, argument("The config to put back.")]
    ) -> ResetBrokerConfigPayload | None:
        context = info.context
        request = core_configs.ResetBrokerConfig(input.cluster_id, input.broker_id, input.name)
        await context.change("api.v3.broker-configs.delete", request)
        return ResetBrokerConfigPayload(cluster_id=input.cluster_id, broker_id=input.broker_id, name=input.name)

    @field(description="Set or put back several configs of a broker at once.")
    async def alter_broker_configs(
        self, info: Info, input: Annotated[AlterBrokerConfigsInput, argument("The alterations.")]
    ) -> AlterBrokerConfigsPayload | None:
        context = info.context
        changes = alterations(input.data)
        request = core_configs.AlterBrokerConfigs(input.cluster_id, input.broker_id, changes, input.validate_only)
        await context.change("api.v3.broker-configs.alter", request)
        return AlterBrokerConfigsPayload(cluster_id=input.cluster_id, broker_id=input.broker_id)

    @field(description="Set one config for all brokers.")
    async def update_cluster_config(
        self, info: Info, input: Annotated[UpdateClusterConfigInput, argument("The config to set.")]
    ) -> UpdateClusterConfigPayload | None:
        context = info.context
        request = core_configs.UpdateClusterConfig(input.cluster_id, input.name, input.value)
        await context.change("api.v3.cluster-configs.update", request)
        return UpdateClusterConfigPayload(cluster_id=input.cluster_id, name=input.name)

    @field(description="Delete one dynamic config of all brokers.")
    async def reset_cluster_config(
        self, info: Info, input: Annotated[ResetClusterConfigInput, argument("The config to delete.")]
    ) -> ResetClusterConfigPayload | None:
        context = info.context
        request = core_configs.ResetClusterConfig(input.cluster_id, input.name)
        await context.change("api.v3.cluster-configs.delete", request)
        return ResetClusterConfigPayload(cluster_id=input.cluster_id)

    @field(description="Set or delete several configs of all brokers at once.")
    async def alter_cluster_configs(
        self, info: Info, input: Annotated[AlterClusterConfigsInput, argument("The alterations.")]
    ) -> AlterClusterConfigsPayload | None:
        context = info.context
        request = core_configs.AlterClusterConfigs(input.cluster_id, alterations(input.data), input.validate_only)
        await context.change("api.v3.cluster-configs.alter", request)
        return AlterClusterConfigsPayload(cluster_id=input.cluster_id)
