"""Engines with threads and memory of their own."""

from typing import Self

from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.shared import Shared


class LoneEngine(Engine):
    """An engine that closes its own threads."""

    @classmethod
    async def start(cls, options: KafkaOptions, shared: Shared | None = None) -> Self:
        """An open engine."""
        return await cls.open(options, shared or Shared(PoolOptions()))

    async def close(self, timeout: float) -> None:
        """Close the engine, and its threads."""
        await super().close(timeout)
        await self._shared.close()
