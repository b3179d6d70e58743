"""Mutations of configs."""

from __future__ import annotations

from typing import Final

import strawberry

from kafka_facade.core.configs import model as core_configs
from kafka_facade_graphql.inputs import Fields, Given, derive_input
from kafka_facade_graphql.mutations import Mutation, Shown
from kafka_facade_graphql.payload_links import BROKER, BROKER_CONFIG, CLUSTER, CLUSTER_CONFIG, TOPIC, TOPIC_CONFIG
from kafka_facade_graphql.user_errors import UserError

AlterOperation = strawberry.enum(core_configs.AlterOperation, description="The type of change to a config (KIP-339).")

_ALTERATION: Final = derive_input(
    core_configs.ConfigAlteration,
    "ConfigAlterationInput",
    "One alteration of a config.",
    {
        "name": "The config's name.",
        "value": "Its new value, for SET.",
        "operation": "Whether to set it, or to reset it to its default.",
    },
)
_OF_TOPIC: Final = derive_input(
    core_configs.TopicConfigAlterations,
    "TopicConfigAlterationsInput",
    "Alterations of the configs of one topic: all are made, or none.",
    {"configs": Given("The alterations.", of=_ALTERATION)},
)

_NAME: Final[Fields] = {"name": "The config's name."}
_VALUE: Final[Fields] = {**_NAME, "value": "Its new value."}
_BROKER: Final[Fields] = {"broker_id": "The broker's id."}
_ALTERATIONS: Final[Fields] = {
    "data": Given("The alterations.", of=_ALTERATION),
    "validate_only": "Whether to validate the request without making the alterations.",
}


@strawberry.type(description="A topic whose configs were not altered.")
class TopicConfigFailure:
    """A topic that Kafka rejected."""

    topic_name: str = strawberry.field(description="The topic's name.")
    error: UserError = strawberry.field(description="The error.")


def _failures(failures: list[core_configs.TopicConfigFailure]) -> list[TopicConfigFailure]:
    return [TopicConfigFailure(topic_name=entry.topic_name, error=UserError.of(entry.error)) for entry in failures]


TOPIC_MUTATIONS: Final = (
    Mutation(
        "api.v3.topic-configs.update",
        core_configs.UpdateTopicConfig,
        description="Set one config of a topic.",
        argument="The config to set.",
        input="A config to set.",
        fields=_VALUE,
        payload="The config that was set.",
        shows=(TOPIC, TOPIC_CONFIG),
    ),
    Mutation(
        "api.v3.topic-configs.delete",
        core_configs.ResetTopicConfig,
        description="Reset one config of a topic to its default.",
        argument="The config to reset.",
        input="A config to reset to its default.",
        fields=_NAME,
        payload="The config that was reset.",
        shows=(TOPIC, TOPIC_CONFIG),
    ),
    Mutation(
        "api.v3.topic-configs.alter",
        core_configs.AlterTopicConfigs,
        description="Set or reset several configs of a topic at once.",
        argument="The alterations.",
        input="Alterations of a topic's configs: all are made, or none.",
        fields=_ALTERATIONS,
        payload="The topic whose configs were altered, or would have been.",
        shows=(TOPIC,),
    ),
)

MUTATIONS: Final = (
    Mutation(
        "api.v3.topic-configs.alter-multi",
        core_configs.AlterMultipleTopicConfigs,
        description="Set or reset configs of several topics at once.",
        argument="The alterations.",
        input="Alterations of the configs of several topics; of several entries for a topic the last one applies.",
        fields=_ALTERATIONS | {"data": Given("The alterations, by topic.", of=_OF_TOPIC)},
        payload="The result of the alterations of several topics' configs.",
        shows=(
            Shown(
                "failures",
                list[TopicConfigFailure],
                "The topics whose alterations Kafka rejected; those of all others are made, or are valid.",
                lambda outcome, info: _failures(outcome.answer),
            ),
        ),
    ),
    Mutation(
        "api.v3.broker-configs.update",
        core_configs.UpdateBrokerConfig,
        description="Set one config of a broker.",
        argument="The config to set.",
        input="A config of a broker to set.",
        fields=_BROKER | _VALUE,
        payload="The config of a broker that was set.",
        shows=(BROKER, BROKER_CONFIG),
    ),
    Mutation(
        "api.v3.broker-configs.delete",
        core_configs.ResetBrokerConfig,
        description="Reset one config of a broker.",
        argument="The config to reset.",
        input="A config of a broker to reset.",
        fields=_BROKER | _NAME,
        payload="The config of a broker that was reset.",
        shows=(BROKER, BROKER_CONFIG),
    ),
    Mutation(
        "api.v3.broker-configs.alter",
        core_configs.AlterBrokerConfigs,
        description="Set or reset several configs of a broker at once.",
        argument="The alterations.",
        input="Alterations of a broker's configs: all are made, or none.",
        fields=_BROKER | _ALTERATIONS,
        payload="The broker whose configs were altered, or would have been.",
        shows=(BROKER,),
    ),
    Mutation(
        "api.v3.cluster-configs.update",
        core_configs.UpdateClusterConfig,
        description="Set one config for all brokers.",
        argument="The config to set.",
        input="A dynamic config to set for all brokers.",
        fields=_VALUE,
        payload="The config of all brokers that was set.",
        shows=(CLUSTER, CLUSTER_CONFIG),
    ),
    Mutation(
        "api.v3.cluster-configs.delete",
        core_configs.ResetClusterConfig,
        description="Delete one dynamic config of all brokers.",
        argument="The config to delete.",
        input="A dynamic config of all brokers to delete.",
        fields=_NAME,
        payload="The cluster after a config of all its brokers was deleted.",
        shows=(CLUSTER,),
    ),
    Mutation(
        "api.v3.cluster-configs.alter",
        core_configs.AlterClusterConfigs,
        description="Set or delete several configs of all brokers at once.",
        argument="The alterations.",
        input="Alterations of the configs that all brokers share: all are made, or none.",
        fields=_ALTERATIONS,
        payload="The cluster whose configs were altered, or would have been.",
        shows=(CLUSTER,),
    ),
)
