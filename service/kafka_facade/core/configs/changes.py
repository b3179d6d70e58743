"""What holds for configs of every kind: how one is found, and which changes are passed on to Kafka."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from kafka_facade.core.configs.model import AlterOperation, Config, ConfigAlteration
from kafka_facade.core.errors import InvalidKafkaRequest, NotFound
from kafka_facade.core.kafka_text import check_text
from kafka_facade.core.quoting import quote

_Config = TypeVar("_Config", bound=Config)

# A broker's settings of one listener: any of its configs, after the listener's name and perhaps a SASL mechanism's.
_LISTENER = "listener.name."


def find(configs: Iterable[_Config], name: str) -> _Config:
    """The config of this name; NotFound."""
    for config in configs:
        if config.name == name:
            return config
    raise NotFound(name=name)


def config_not_found(name: str, owner: str, cluster_id: str) -> NotFound:
    """The error for a config to change that isn't there; ``owner`` says of what, e.g. ``TOPIC name``."""
    return NotFound(f"Config {quote(name)} cannot be found for {owner} in cluster {cluster_id}.", name=name)


def is_broker_config(name: str, known: Collection[str]) -> bool:
    """Whether brokers have a config of this name; those of a listener show only once they are set."""
    if name in known:
        return True
    rest = name.removeprefix(_LISTENER)
    if rest == name:
        return False
    labels = rest.split(".")
    return any(".".join(labels[place:]) in known for place in range(1, len(labels)))


def check_values(changes: Sequence[ConfigAlteration], place: str = "") -> None:
    """InvalidKafkaRequest where a config is to be set to null, or to what Kafka can't be sent.

    ``place`` is the field of the request that holds the changes, empty where the request is one.
    """
    for index, change in enumerate(changes):
        prefix = f"{place}[{index}]." if place else ""
        check_text(change.name, f"{prefix}name")
        check_text(change.value, f"{prefix}value")
        if change.operation is AlterOperation.SET and change.value is None:
            raise InvalidKafkaRequest(f"Null value not supported for : {quote(change.name)}", name=change.name)
