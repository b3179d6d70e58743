"""Mutations of broker replica exclusions."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.exclusions import model as core_exclusions
from kafka_facade_graphql.exclusions import BrokerReplicaExclusionAlteration
from kafka_facade_graphql.inputs import Fields, Given, derive_input
from kafka_facade_graphql.mutations import Mutation, written
from kafka_facade_graphql.payload_links import CLUSTER

_ENTRY: Final = derive_input(
    core_exclusions.BrokerReplicaExclusionEntry,
    "BrokerReplicaExclusionInput",
    "A broker, and the reason of the change.",
    {"broker_id": "The broker's id.", "reason": "A human-readable reason of up to 1000 characters."},
)
_BROKERS: Final[Fields] = {"data": Given("The brokers, each at most once.", of=_ENTRY)}
_SHOWS: Final = (
    written(
        "alterations",
        list[BrokerReplicaExclusionAlteration],
        "The results, in the order of the input; a change that was not made has an error.",
    ),
    CLUSTER,
)

MUTATIONS: Final = (
    Mutation(
        "api.v3.broker-replica-exclusions.create",
        core_exclusions.CreateBrokerReplicaExclusions,
        description="Exclude brokers from new replicas.",
        argument="The brokers to exclude.",
        input="The brokers to exclude; one that is excluded already gets the new reason.",
        fields=_BROKERS,
        payload="The result of excluding brokers.",
        shows=_SHOWS,
    ),
    Mutation(
        "api.v3.broker-replica-exclusions.delete",
        core_exclusions.DeleteBrokerReplicaExclusions,
        description="Remove the exclusions of brokers.",
        argument="The brokers that get replicas again.",
        input="The brokers whose exclusions are removed.",
        fields=_BROKERS,
        payload="The result of removing exclusions.",
        shows=_SHOWS,
    ),
)
