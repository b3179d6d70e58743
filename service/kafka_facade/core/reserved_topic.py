"""Protection of the state topic from calls that write."""

from __future__ import annotations

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.configs.model import AlterMultipleTopicConfigs
from kafka_facade.core.errors import KafkaAuthorizationFailed


class ReservedTopic:
    """A topic that callers may read, but not create, write, change or delete. Kafka's own rights are not changed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self, operation: Operation, request: object) -> None:
        """Raise KafkaAuthorizationFailed if the request would change the topic."""
        if operation.graphql_type != "mutation":
            return
        if getattr(request, "topic_name", None) == self._name:
            raise self._refusal("topic_name")
        if isinstance(request, AlterMultipleTopicConfigs):
            for index, entry in enumerate(request.data):
                if entry.topic_name == self._name:
                    raise self._refusal(f"data[{index}].topic_name")

    def _refusal(self, field: str) -> KafkaAuthorizationFailed:
        message = f"The topic {self._name} has the state of the gateways (state.topic): only they may change it."
        return KafkaAuthorizationFailed(message, topic_name=self._name, field=field)
