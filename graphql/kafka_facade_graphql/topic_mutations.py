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
            raise InvalidRequest("A partition can be assigned once only.", field=field)
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
            "partitions_count": "How many partitions; Kafka's default.",
            "replication_factor": "How many replicas each partition gets; Kafka's default.",
            "replicas_assignments": Given(
                "Where the replicas go, in place of the two counts.",
                kind=list[ReplicasAssignmentInput],
                read=_assignments,
            ),
            "configs": Given("Configs other than the defaults.", of=_CONFIG),
            "validate_only": "Only check that it could be created.",
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
        payload="What is left of a deleted topic.",
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
        input="The number of partitions that a topic shall have.",
        fields={"partitions_count": "How many partitions; more than there are."},
        payload="The topic with its new partitions.",
        shows=(_TOPIC,),
    ),
)
