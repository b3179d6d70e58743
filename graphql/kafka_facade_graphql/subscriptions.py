"""The subscription root."""

from __future__ import annotations

import strawberry

from kafka_facade_graphql.broker_task_subscription import BrokerTaskSubscription
from kafka_facade_graphql.record_subscription import RecordSubscription


@strawberry.type(description="Subscriptions.")
class Subscription(RecordSubscription, BrokerTaskSubscription):
    """What a caller can follow."""
