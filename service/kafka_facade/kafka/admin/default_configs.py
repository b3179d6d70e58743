"""The configs that new topics get, which a broker tells when it validates the creation of one (KIP-525).

librdkafka validates topics too, but returns nothing of the answer.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from kafka_facade.core.errors import (
    FacadeError,
    KafkaAuthorizationFailed,
    KafkaTimeout,
    RetriableKafkaError,
    TooManyRequests,
)
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.rounds import is_passing

# The first version that returns configs.
_VERSION: Final = 5
_PAUSE_SECONDS: Final = 0.1
_TOPICS_AT_ONCE: Final = 100


async def default_configs(protocol: ProtocolClient, names: Sequence[str], timeout: float) -> list[Any | FacadeError]:
    """Return Kafka's result, which has the configs, for each name.

    Kafka's defaults are the same for all names, and it rejects a name that exists. So this asks for a name that no
    topic has, and for the names themselves only if that one may not be created.
    """
    deadline = time.monotonic() + timeout
    fresh = f"default-configs-{uuid.uuid4().hex}"
    [found] = await _validate(protocol, [fresh], deadline)
    if not isinstance(found, KafkaAuthorizationFailed):
        return [found] * len(names)
    results: list[Any | FacadeError] = []
    for start in range(0, len(names), _TOPICS_AT_ONCE):
        own = await _validate(protocol, names[start : start + _TOPICS_AT_ONCE], deadline)
        results += [found if isinstance(result, FacadeError) else result for result in own]
    return results


async def _validate(protocol: ProtocolClient, names: Sequence[str], deadline: float) -> list[Any | FacadeError]:
    """Validate the creation of topics, again while the controller changes; the result or error of each."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise KafkaTimeout
        limit = round(1000 * left)

        def build(messages: Any, limit: int = limit) -> Any:
            topic = messages.CreateTopicsRequest.CreatableTopic
            topics = [
                topic(name=name, num_partitions=-1, replication_factor=1, assignments=[], configs=[]) for name in names
            ]
            return messages.CreateTopicsRequest(
                topics=topics, timeout_ms=limit, validate_only=True, min_version=_VERSION
            )

        answer = await protocol.send(build, left)
        outcomes = {result.name: _outcome(result) for result in answer.topics}
        found = [outcomes.get(name, RetriableKafkaError()) for name in names]
        if not any(map(_is_passing, found)) or deadline - time.monotonic() <= _PAUSE_SECONDS:
            return found
        await asyncio.sleep(_PAUSE_SECONDS)


def _is_passing(result: Any | FacadeError) -> bool:
    """Return whether to ask again: not if a quota is used up, which the caller should know."""
    return is_passing(result) and not isinstance(result, TooManyRequests)


def _outcome(result: Any) -> Any | FacadeError:
    if result.error_code:
        return from_code(result.error_code, result.error_message)
    if result.topic_config_error_code:
        return from_code(result.topic_config_error_code, None)
    return result
