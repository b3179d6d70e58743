"""Configs of topics, of brokers and of all brokers together, and the requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.request import Many, Request


class AlterOperation(str, Enum):
    """What an entry of a ``configs:alter`` does (KIP-339)."""

    SET = "SET"
    DELETE = "DELETE"


@dataclass(slots=True)
class ConfigSynonym:
    """A place that gives a config its value, in order of precedence (KIP-226)."""

    name: str
    value: str | None
    source: str


@dataclass(slots=True, kw_only=True)
class Config:
    """A config; ``value`` is None if it is sensitive; ``source`` is Kafka's ConfigSource name."""

    cluster_id: str
    name: str
    value: str | None
    is_read_only: bool
    is_sensitive: bool
    source: str
    synonyms: list[ConfigSynonym]
    is_default: bool


@dataclass(slots=True, kw_only=True)
class TopicConfig(Config):
    """A config of a topic."""

    topic_name: str


@dataclass(slots=True, kw_only=True)
class BrokerConfig(Config):
    """A config of one broker."""

    broker_id: int


@dataclass(slots=True, kw_only=True)
class ClusterConfig(Config):
    """A dynamic config that all brokers of a cluster share."""

    config_type: str = "BROKER"


@dataclass(slots=True)
class TopicConfigFailure:
    """A topic whose configs were not altered although those of others were."""

    topic_name: str
    error: FacadeError


@dataclass(slots=True)
class ListTopicConfigs(Request[Sequence[TopicConfig]]):
    """``topic_name`` None lists the configs of all topics."""

    cluster_id: str | None
    topic_name: str | None = None


@dataclass(slots=True)
class ListTopicDefaultConfigs(Request[Sequence[TopicConfig]]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class GetTopicConfig(Request[TopicConfig]):
    cluster_id: str | None
    topic_name: str
    name: str


@dataclass(slots=True)
class UpdateTopicConfig(Request[None]):
    cluster_id: str | None
    topic_name: str
    name: str
    value: str | None


@dataclass(slots=True)
class ResetTopicConfig(Request[None]):
    cluster_id: str | None
    topic_name: str
    name: str


@dataclass(slots=True)
class ConfigAlteration:
    name: str
    value: str | None = None
    operation: AlterOperation = AlterOperation.SET


@dataclass(slots=True)
class AlterTopicConfigs(Request[None]):
    cluster_id: str | None
    topic_name: str
    data: list[ConfigAlteration]
    validate_only: bool = False


@dataclass(slots=True)
class TopicConfigAlterations:
    topic_name: str
    configs: list[ConfigAlteration]


@dataclass(slots=True)
class AlterMultipleTopicConfigs(Request[list[TopicConfigFailure]]):
    """Of entries for the same topic the last one counts."""

    cluster_id: str | None
    data: list[TopicConfigAlterations]
    validate_only: bool = False


@dataclass(slots=True)
class ListBrokerConfigs(Request[Sequence[BrokerConfig]]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class ListAllBrokerConfigs(Request[Sequence[BrokerConfig]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetBrokerConfig(Request[BrokerConfig]):
    cluster_id: str | None
    broker_id: int
    name: str


@dataclass(slots=True)
class UpdateBrokerConfig(Request[None]):
    cluster_id: str | None
    broker_id: int
    name: str
    value: str | None


@dataclass(slots=True)
class ResetBrokerConfig(Request[None]):
    cluster_id: str | None
    broker_id: int
    name: str


@dataclass(slots=True)
class AlterBrokerConfigs(Request[None]):
    cluster_id: str | None
    broker_id: int
    data: list[ConfigAlteration]
    validate_only: bool = False


@dataclass(slots=True)
class ListClusterConfigs(Request[Sequence[ClusterConfig]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetClusterConfig(Request[ClusterConfig]):
    cluster_id: str | None
    name: str


@dataclass(slots=True)
class UpdateClusterConfig(Request[None]):
    cluster_id: str | None
    name: str
    value: str | None


@dataclass(slots=True)
class ResetClusterConfig(Request[None]):
    cluster_id: str | None
    name: str


@dataclass(slots=True)
class AlterClusterConfigs(Request[None]):
    cluster_id: str | None
    data: list[ConfigAlteration]
    validate_only: bool = False


class ReadTopicConfigs(Many[str, Sequence[TopicConfig]]):
    """The configs of topics, by name."""


class ReadTopicDefaultConfigs(Many[str, Sequence[TopicConfig]]):
    """The configs that new topics would have, by name."""


class ReadBrokerConfigs(Many[int, Sequence[BrokerConfig]]):
    """The configs of brokers, by id."""
