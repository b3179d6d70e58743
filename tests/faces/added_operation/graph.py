"""The family in the graph: links that lead to it, and its mutation."""

from __future__ import annotations

from typing import Any, Final

import strawberry

from faces.added_operation import model
from kafka_facade.core.clusters.model import Cluster
from kafka_facade.core.topics.model import Topic
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.inputs import Given, derive_input
from kafka_facade_graphql.mutations import Mutation, written
from kafka_facade_graphql.payload_links import TOPIC
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt

TRIM: Final = derive_input(
    model.PartitionTrim,
    "PartitionTrimInput",
    "Deletes the records of a partition before an offset.",
    {"partition_id": "The partition.", "before_offset": "The first offset to keep."},
)


@resource(description="How many records a topic holds.", fields={"topic_name": "The topic."})
class TopicSize(model.TopicSize):
    """A size."""

    records_count: BigInt = strawberry.field(description="How many records.")


@field(description="How many records it holds.", graphql_type=TopicSize | None)
async def size(self: Topic, info: Info) -> model.TopicSize:
    return await info.context.run("api.v3.topic-sizes.get", model.GetTopicSize(self.cluster_id, self.topic_name))


@field(description="How many records each topic holds.", graphql_type=list[TopicSize] | None)
async def topic_sizes(self: Cluster, info: Info) -> list[model.TopicSize]:
    return await info.context.run("api.v3.topic-sizes.list", model.ListTopicSizes(self.cluster_id))


LINKS: Final[dict[str, Any]] = {"Topic": [size], "Cluster": [topic_sizes]}
MUTATION: Final = Mutation(
    "api.v3.topic-sizes.trim",
    model.TrimTopic,
    description="Delete the oldest records of a topic.",
    argument="What to delete.",
    input="What to delete.",
    fields={
        "partitions": Given("The partitions.", of=TRIM),
        "validate_only": "Only check that it could be done.",
    },
    payload="The topic without these records.",
    shows=(TOPIC, written("topicSize", TopicSize, "How many records are left.")),
)
