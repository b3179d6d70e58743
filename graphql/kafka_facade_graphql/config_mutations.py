"""Mutations of the configs of several topics, of brokers, and of all brokers together."""

from __future__ import annotations

from typing import Annotated

import strawberry

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade_graphql.broker_configs import BrokerConfig, ClusterConfig
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.graph import Broker, Cluster
from kafka_facade_graphql.produce_mutations import UserError
from kafka_facade_graphql.topic_mutations import ConfigAlterationInput, alterations

_CLUSTER = "The cluster's id in Kafka."
_BROKER = "The broker's id."
_NAME = "The config's name."
_VALUE = "Its new value."
_VALIDATE_ONLY = "Only check that they could be made."


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
class ConfigMutations:
    """The mutations of configs that are not those of one topic; a part of the mutation root."""

    @field(description="Set or put back configs of several topics at once.")
    async def alter_multiple_topic_configs(
        self, info: Info, input: Annotated[AlterMultipleTopicConfigsInput, argument("The alterations.")]
    ) -> AlterMultipleTopicConfigsPayload | None:
        context = info.context
        data = [
            core_configs.TopicConfigAlterations(entry.topic_name, alterations(entry.configs)) for entry in input.data
        ]
        request = core_configs.AlterMultipleTopicConfigs(input.cluster_id, data, input.validate_only)
        method = context.facade.topic_configs.alter_multiple
        failures = await context.change("api.v3.topic-configs.alter-multi", method, request)
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
        await context.change("api.v3.broker-configs.update", context.facade.broker_configs.update_config, request)
        return UpdateBrokerConfigPayload(cluster_id=input.cluster_id, broker_id=input.broker_id, name=input.name)

    @field(description="Take back a broker's own setting of a config.")
    async def reset_broker_config(
        self, info: Info, input: Annotated[ResetBrokerConfigInput, argument("The config to put back.")]
    ) -> ResetBrokerConfigPayload | None:
        context = info.context
        request = core_configs.ResetBrokerConfig(input.cluster_id, input.broker_id, input.name)
        await context.change("api.v3.broker-configs.delete", context.facade.broker_configs.reset_config, request)
        return ResetBrokerConfigPayload(cluster_id=input.cluster_id, broker_id=input.broker_id, name=input.name)

    @field(description="Set or put back several configs of a broker at once.")
    async def alter_broker_configs(
        self, info: Info, input: Annotated[AlterBrokerConfigsInput, argument("The alterations.")]
    ) -> AlterBrokerConfigsPayload | None:
        context = info.context
        changes = alterations(input.data)
        request = core_configs.AlterBrokerConfigs(input.cluster_id, input.broker_id, changes, input.validate_only)
        await context.change("api.v3.broker-configs.alter", context.facade.broker_configs.alter_configs, request)
        return AlterBrokerConfigsPayload(cluster_id=input.cluster_id, broker_id=input.broker_id)

    @field(description="Set one config for all brokers.")
    async def update_cluster_config(
        self, info: Info, input: Annotated[UpdateClusterConfigInput, argument("The config to set.")]
    ) -> UpdateClusterConfigPayload | None:
        context = info.context
        request = core_configs.UpdateClusterConfig(input.cluster_id, input.name, input.value)
        await context.change("api.v3.cluster-configs.update", context.facade.cluster_configs.update_config, request)
        return UpdateClusterConfigPayload(cluster_id=input.cluster_id, name=input.name)

    @field(description="Delete one dynamic config of all brokers.")
    async def reset_cluster_config(
        self, info: Info, input: Annotated[ResetClusterConfigInput, argument("The config to delete.")]
    ) -> ResetClusterConfigPayload | None:
        context = info.context
        request = core_configs.ResetClusterConfig(input.cluster_id, input.name)
        await context.change("api.v3.cluster-configs.delete", context.facade.cluster_configs.reset_config, request)
        return ResetClusterConfigPayload(cluster_id=input.cluster_id)

    @field(description="Set or delete several configs of all brokers at once.")
    async def alter_cluster_configs(
        self, info: Info, input: Annotated[AlterClusterConfigsInput, argument("The alterations.")]
    ) -> AlterClusterConfigsPayload | None:
        context = info.context
        request = core_configs.AlterClusterConfigs(input.cluster_id, alterations(input.data), input.validate_only)
        await context.change("api.v3.cluster-configs.alter", context.facade.cluster_configs.alter_configs, request)
        return AlterClusterConfigsPayload(cluster_id=input.cluster_id)
