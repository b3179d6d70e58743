"""What a topic's configs say of records that it doesn't take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.port import SerializedRecord

_ASK_SECONDS: Final = 10.0
# Records that are refused one after the other cost one look (s) at the configs.
_KEPT_SECONDS: Final = 1.0


class TopicLimits:
    """The configs of topics, asked for when a record of theirs was refused. Used on one event loop."""

    def __init__(self, configs: ConfigPort) -> None:
        self._configs = configs
        self._asked: dict[str, asyncio.Task[Mapping[str, str]]] = {}

    async def of(self, topic: str) -> Mapping[str, str]:
        """The topic's configs by name; none where Kafka doesn't show them."""
        asked = self._asked.get(topic)
        if asked is None:
            asked = self._asked[topic] = asyncio.create_task(self._ask(topic), name="configs of a topic")
            asked.add_done_callback(
                lambda done: done.get_loop().call_later(_KEPT_SECONDS, self._asked.pop, topic, None) and None
            )
        return await asyncio.shield(asked)

    async def close(self) -> None:
        """Stop asking."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, topic: str) -> Mapping[str, str]:
        try:
            [found] = await self._configs.topic_configs([topic], _ASK_SECONDS)
        except FacadeError:
            return {}
        return {} if isinstance(found, FacadeError) else {config.name: config.value or "" for config in found}


def objection(record: SerializedRecord, code: int, limits: Mapping[str, str]) -> int | None:
    """The code for which Kafka refuses the record with these configs; None where they allow it, or don't tell.

    ``code`` is the one that it was refused with, together with others.
    """
    if record.key is None and "compact" in limits.get("cleanup.policy", ""):
        return ClientError.INVALID_RECORD
    if record.timestamp is not None and limits.get("message.timestamp.type") == "CreateTime":
        ahead = record.timestamp - time.time() * 1000
        before, after = (limits.get(f"message.timestamp.{side}.max.ms", "") for side in ("before", "after"))
        if (after.isdigit() and ahead > int(after)) or (before.isdigit() and -ahead > int(before)):
            return ClientError.INVALID_TIMESTAMP
    most = limits.get("max.message.bytes", "")
    if code in (ClientError.MSG_SIZE_TOO_LARGE, ClientError.RECORD_LIST_TOO_LARGE) and most.isdigit():
        return code if len(record.key or b"") + len(record.value or b"") > int(most) else None
    return None
