"""Lookup of configs, and validation of changes, shared by all kinds of configs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from kafka_facade.core.configs.model import AlterOperation, Config, ConfigAlteration
from kafka_facade.core.errors import InvalidKafkaRequest, NotFound
from kafka_facade.core.kafka_text import check_text
from kafka_facade.core.quoting import quote

_Config = TypeVar("_Config", bound=Config)

# Prefix of a broker's per-listener configs, followed by the listener's name and optionally a SASL mechanism.
_LISTENER = "listener.name."


def find(configs: Iterable[_Config], name: str) -> _Config:
    """Return the config with a name. Raises NotFound."""
    for config in configs:
        if config.name == name:
            return config
    raise NotFound(name=name)


def config_not_found(name: str, owner: str, cluster_id: str) -> NotFound:
    """Return the error for changing an unknown config; ``owner`` is its resource, such as ``TOPIC name``."""
    return NotFound(f"Config {quote(name)} cannot be found for {owner} in cluster {cluster_id}.", name=name)


def is_broker_config(name: str, known: Collection[str]) -> bool:
    """Return whether brokers have a config with this name; per-listener ones are listed only if they are set."""
    if name in known:
        return True
    rest = name.removeprefix(_LISTENER)
    if rest == name:
        return False
    labels = rest.split(".")
    return any(".".join(labels[place:]) in known for place in range(1, len(labels)))


def check_values(changes: Sequence[ConfigAlteration], place: str = "") -> None:
    """Raise InvalidKafkaRequest if a config is to be set to null, or to text that cannot be sent to Kafka.

    ``place`` is the field of the request with the changes, or empty if the request itself is one change.
    """
    for index, change in enumerate(changes):
        prefix = f"{place}[{index}]." if place else ""
        check_text(change.name, f"{prefix}name")
        check_text(change.value, f"{prefix}value")
        if change.operation is AlterOperation.SET and change.value is None:
            raise InvalidKafkaRequest(f"Null value not supported for : {quote(change.name)}", name=change.name)
