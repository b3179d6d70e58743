"""The engine with the method that the family needs."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from faces.added_operation.model import PartitionTrim
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.owned import Owned


class _Admin:
    """The admin port and the new one."""

    def __init__(self, admin: Any, client: Owned) -> None:
        self._admin = admin
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    async def trim(self, topic: str, partitions: list[PartitionTrim], timeout: float) -> None:
        places = [TopicPartition(topic, entry.partition_id, entry.before_offset) for entry in partitions]
        for deletion in self._client.delete_records(places, request_timeout=timeout).values():
            try:
                await asyncio.wrap_future(deletion)
            except KafkaException as error:
                raise from_exception(error) from None


class TrimmingEngine(Engine):
    """An engine that can delete records."""

    def ports(self) -> KafkaPorts:
        ports = super().ports()
        return dataclasses.replace(ports, admin=_Admin(ports.admin, self._client))
