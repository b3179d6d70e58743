"""Mutations of topics."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import strawberry

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.inputs import Given, derive_input
from kafka_facade_graphql.mutations import Mutation, named, written
from kafka_facade_graphql.payload_links import CLUSTER
from kafka_facade_graphql.topics import Topic

_TOPIC: Final = written("topic", Topic, "The topic as it is now.")

_CONFIG: Final = derive_input(
    core_topics.ConfigEntry,
    "ConfigInput",
    "A config to create a topic with.",
    {"name": "The config's name.", "value": "Its value."},
)


@strawberry.input(description="The brokers that get the replicas of a partition.")
class ReplicasAssignmentInput:
    """Where a partition's replicas go."""

    partition_id: int = strawberry.field(description="The partition's number, from 0.")
    broker_ids: list[int] = strawberry.field(description="The brokers, the preferred leader first.")


def _assignments(given: list[ReplicasAssignmentInput]) -> dict[int, list[int]]:
    """The brokers of each partition. GraphQL has no maps, so a list has them."""
    assignments: dict[int, list[int]] = {}
    for index, entry in enumerate(given):
        if entry.partition_id in assignments:
            field = f"replicas_assignments[{index}].partition_id"
            raise InvalidRequest("A partition can be assigned only once.", field=field)
        assignments[entry.partition_id] = entry.broker_ids
    return assignments


MUTATIONS: Final = (
    Mutation(
        "api.v3.topics.create",
        core_topics.CreateTopic,
        description="Create a topic.",
        argument="The topic to create.",
        input="The topic to create.",
        fields={
            "partitions_count": "The number of partitions; default: Kafka's default.",
            "replication_factor": "The number of replicas of each partition; default: Kafka's default.",
            "replicas_assignments": Given(
                "The brokers of each partition's replicas; cannot be combined with the two counts.",
                kind=list[ReplicasAssignmentInput],
                read=_assignments,
            ),
            "configs": Given("Configs other than the defaults.", of=_CONFIG),
            "validate_only": "Whether to validate the request without creating the topic.",
        },
        payload="The topic that was created, or would have been.",
        shows=(_TOPIC,),
    ),
    Mutation(
        "api.v3.topics.delete",
        core_topics.DeleteTopic,
        description="Delete a topic and all its records.",
        argument="The topic to delete.",
        input="The topic to delete.",
        payload="The name and cluster of the deleted topic.",
        shows=(
            named("topicName", str, "The name of the topic that was deleted.", "topic_name"),
            replace(CLUSTER, description="The cluster that it was in."),
        ),
    ),
    Mutation(
        "api.v3.topics.partitions",
        core_topics.UpdatePartitionCount,
        description="Increase the number of a topic's partitions.",
        argument="The topic and the new number.",
        input="The new number of partitions of a topic.",
        fields={"partitions_count": "The new number of partitions, higher than the current one."},
        payload="The topic with its new partitions.",
        shows=(_TOPIC,),
    ),
)
