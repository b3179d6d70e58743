"""Mutations of brokers."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.broker_tasks import model as core_tasks
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade_graphql.broker_tasks import BrokerRemoval
from kafka_facade_graphql.mutations import Mutation, named, written
from kafka_facade_graphql.payload_links import CLUSTER

MUTATIONS: Final = (
    Mutation(
        "api.v3.brokers.unregister",
        core_clusters.UnregisterBroker,
        description="Remove a stopped broker from the cluster's registry.",
        argument="The broker to unregister.",
        input="The broker to unregister, which must not be running.",
        fields={"broker_id": "The broker's id."},
        payload="The broker that is no longer registered.",
        shows=(named("brokerId", int, "The id of the broker.", "broker_id"), CLUSTER),
    ),
    Mutation(
        "api.v3.brokers.delete",
        core_tasks.RemoveBroker,
        description="Start to move all replicas away from a broker. The task then waits until the broker is stopped.",
        argument="The broker to remove.",
        input="The broker to remove, which must not have the only replica of a partition.",
        fields={
            "broker_id": "The broker's id.",
            "should_shutdown": "Whether the task waits until the broker is stopped.",
        },
        payload="The removal that has begun.",
        shows=(written("removal", BrokerRemoval, "The removal."), CLUSTER),
    ),
    Mutation(
        "api.v3.brokers.delete-batch",
        core_tasks.RemoveBrokers,
        description="Start to remove several brokers, all or none.",
        argument="The brokers to remove.",
        input="The brokers to remove, none of which may have the only replica of a partition.",
        fields={
            "broker_ids": "The ids of the brokers, each at most once.",
            "should_shutdown": "Whether the tasks wait until the brokers are stopped.",
        },
        payload="The removals that have begun.",
        shows=(written("removals", list[BrokerRemoval], "The removals, in the order of the input."), CLUSTER),
    ),
)
