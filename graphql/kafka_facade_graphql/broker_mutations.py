"""Mutations of brokers."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade_graphql.mutations import Mutation, named
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
)
