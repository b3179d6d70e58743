"""Configs of topics and brokers through librdkafka, if kafka-python cannot connect.

Its Python client keeps only the last synonym of each name, and it cannot read cluster-wide broker configs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)

from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration, ConfigSynonym
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.blocking import positive, settled
from kafka_facade.kafka.errors import from_exception

NAMED: Final = {ResourceType.TOPIC.value: "topic_name", ResourceType.BROKER.value: "broker_id"}
"""The metadata key for the name of a resource, by its type."""

_OPERATIONS: Final = {AlterOperation.SET: AlterConfigOpType.SET, AlterOperation.DELETE: AlterConfigOpType.DELETE}


async def describe(
    client: AdminClient, kind: int, names: Sequence[str], timeout: float
) -> dict[str, list[dict[str, Any]] | FacadeError]:
    """Return the common fields of the configs of these topics, or of one broker, ordered by name."""
    resources = [ConfigResource(kind, name) for name in names]
    answers = await _settled(client.describe_configs, resources, timeout)
    found: dict[str, list[dict[str, Any]] | FacadeError] = {}
    for name, answer in zip(names, answers, strict=True):
        await time_slice()
        failed = isinstance(answer, FacadeError)
        found[name] = answer if failed else [_fields(*entry) for entry in sorted(answer.items())]
    return found


async def alter(
    client: AdminClient,
    kind: int,
    changes: Mapping[str, Sequence[ConfigAlteration]],
    validate_only: bool,
    timeout: float,
) -> dict[str, FacadeError | None]:
    """Alter configs of these topics, or of one broker; return the error of each, or None."""
    resources = [
        ConfigResource(
            kind,
            name,
            incremental_configs=[
                ConfigEntry(change.name, change.value, incremental_operation=_OPERATIONS[change.operation])
                for change in of_one
            ],
        )
        for name, of_one in changes.items()
    ]
    answers = await _settled(client.incremental_alter_configs, resources, timeout, validate_only=validate_only)
    return dict(zip(changes, answers, strict=True))


async def _settled(ask: Any, resources: list[ConfigResource], timeout: float, **options: Any) -> list[Any]:
    try:
        futures = ask(resources, request_timeout=positive(timeout), **options)
    except Exception as error:
        raise from_exception(error) from error
    return await asyncio.gather(
        *(
            settled(futures[resource], timeout, **{NAMED[resource.restype_int]: resource.name})
            for resource in resources
        ),
        return_exceptions=True,
    )


def _fields(name: str, entry: Any) -> dict[str, Any]:
    source = _source(entry)
    return {
        "name": name,
        "value": None if entry.is_sensitive else entry.value,
        "is_read_only": bool(entry.is_read_only),
        "is_sensitive": bool(entry.is_sensitive),
        "source": source,
        "synonyms": [
            ConfigSynonym(synonym.name, None if entry.is_sensitive else synonym.value, _source(synonym))
            for synonym in entry.synonyms.values()
        ],
        "is_default": source == ConfigSource.DEFAULT_CONFIG.name,
    }


def _source(entry: Any) -> str:
    try:
        return ConfigSource(entry.source).name
    except ValueError:
        return "UNKNOWN"
