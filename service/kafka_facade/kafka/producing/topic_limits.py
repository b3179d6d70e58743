"""Topic configs that decide which records a topic rejects."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.port import SerializedRecord

_ASK_SECONDS: Final = 10.0
# How long (s) fetched configs serve further rejected records.
_KEPT_SECONDS: Final = 1.0
# Age (s) after which limits are refreshed. They only affect how records are sent; Kafka makes the decision.
_KNOWN_SECONDS: Final = 300.0
_MOST_KNOWN: Final = 10_000


class Limits(NamedTuple):
    """The limits in a topic's configs; None and False if unknown.

    ``before`` and ``after`` are the maximum distance (ms) of a timestamp from now; ``largest`` is
    ``max.message.bytes``.
    """

    needs_key: bool = False
    before: int | None = None
    after: int | None = None
    largest: int | None = None

    def forbid(self, record: SerializedRecord) -> int | None:
        """Return the code with which Kafka will reject the record because of its key or timestamp, if known."""
        if self.needs_key and record.key is None:
            return ClientError.INVALID_RECORD
        if record.timestamp is not None:
            ahead = record.timestamp - time.time() * 1000
            if (self.after is not None and ahead > self.after) or (self.before is not None and -ahead > self.before):
                return ClientError.INVALID_TIMESTAMP
        return None


UNKNOWN: Final = Limits()


class TopicLimits:
    """A cache of topic limits. Used on one event loop."""

    def __init__(self, configs: ConfigPort) -> None:
        self._configs = configs
        self._asked: dict[str, asyncio.Task[Limits]] = {}
        self._known: dict[str, tuple[Limits, float]] = {}

    def known(self, topic: str) -> Limits:
        """Return the cached limits of a topic."""
        known = self._known.get(topic)
        return UNKNOWN if known is None else known[0]

    async def learn(self, topic: str, timeout: float) -> None:
        """Fetch unknown limits, waiting up to ``timeout`` (s); refresh old ones in the background."""
        known = self._known.get(topic)
        if known is None:
            await asyncio.wait([self._ask(topic)], timeout=timeout)
        elif time.monotonic() - known[1] > _KNOWN_SECONDS:
            self._ask(topic)

    async def of(self, topic: str) -> Limits:
        """Fetch the current limits of a topic; UNKNOWN if Kafka does not show them."""
        return await asyncio.shield(self._ask(topic))

    def forget(self, topic: str) -> None:
        """Drop the limits of a topic that may have been recreated."""
        self._known.pop(topic, None)
        if (asked := self._asked.get(topic)) is not None and asked.done():
            del self._asked[topic]

    async def close(self) -> None:
        """Cancel pending requests."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    def _ask(self, topic: str) -> asyncio.Task[Limits]:
        asked = self._asked.get(topic)
        if asked is None:
            asked = self._asked[topic] = asyncio.create_task(self._fetch(topic), name="configs of a topic")
            asked.add_done_callback(
                lambda done: done.get_loop().call_later(_KEPT_SECONDS, self._asked.pop, topic, None) and None
            )
        return asked

    async def _fetch(self, topic: str) -> Limits:
        limits = UNKNOWN
        with contextlib.suppress(FacadeError):
            [found] = await self._configs.topic_configs([topic], _ASK_SECONDS)
            if not isinstance(found, FacadeError):
                limits = _limits({config.name: config.value or "" for config in found})
        self._known.pop(topic, None)
        self._known[topic] = limits, time.monotonic()
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return limits


def _limits(configs: Mapping[str, str]) -> Limits:
    def number(name: str) -> int | None:
        text = configs.get(name, "")
        return int(text) if text.isdigit() else None

    dated = configs.get("message.timestamp.type") == "CreateTime"
    return Limits(
        "compact" in configs.get("cleanup.policy", ""),
        number("message.timestamp.before.max.ms") if dated else None,
        number("message.timestamp.after.max.ms") if dated else None,
        number("max.message.bytes"),
    )


def objection(record: SerializedRecord, code: int, limits: Limits) -> int | None:
    """Return the code with which Kafka rejects the record under these limits; None if it is valid or unknown.

    ``code`` is the one with which it was rejected together with others.
    """
    if (forbidden := limits.forbid(record)) is not None:
        return forbidden
    if code in (ClientError.MSG_SIZE_TOO_LARGE, ClientError.RECORD_LIST_TOO_LARGE) and limits.largest is not None:
        return code if len(record.key or b"") + len(record.value or b"") > limits.largest else None
    return None
