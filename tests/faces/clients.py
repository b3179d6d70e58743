"""The same operations through each face, for scenarios that must not depend on which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kafka_facade.core.errors import FacadeError


@dataclass
class Data:
    """A key or value: text for STRING, bytes (or what is wrongly given for them) for BINARY, else a JSON value."""

    format: str
    data: Any
    schema: str | None = None


@dataclass
class Produced:
    """A record to produce."""

    value: Data | None = None
    key: Data | None = None
    partition: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Reader(NamedTuple):
    """A member of a group."""

    consumer_id: str
    instance_id: str | None
    client_id: str


class Lag(NamedTuple):
    """How far a group is behind in a partition, and who reads that."""

    topic: str
    partition: int
    reader: Reader
    current: int
    end: int
    lag: int


class LagSummary(NamedTuple):
    """The largest and the total lag."""

    topic: str
    partition: int
    reader: Reader
    largest: int
    total: int


Moving = tuple[str, int, list[int], list[int]]
"""A reassignment: topic, partition, the brokers that are added and those that are removed."""

ACL_MEMBERS = ("resource_type", "resource_name", "pattern_type", "principal", "host", "operation", "permission")


class FaceError(Exception):
    """An operation failed, as the face said it: ``codes`` is what the face has to tell the kind of an error."""

    def __init__(self, codes: tuple[Any, ...], message: str) -> None:
        super().__init__(codes, message)
        self.codes = codes
        self.message = message


class FaceClient(Protocol):
    """What the scenarios ask of a face. Positions and offsets are ``(topic, partition, offset)``."""

    shows_undecodable: bool
    """Whether a fetch has the bytes of what isn't of the format; else it fails, as the reference says."""

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        """What the face says for this kind of error."""

    async def clusters(self) -> list[str]: ...
    async def cluster(self, cluster: str) -> str: ...
    async def brokers(self, cluster: str) -> list[tuple[int, str, int]]: ...
    async def broker(self, cluster: str, broker: int) -> tuple[int, str, int]: ...
    async def topics(self, cluster: str) -> list[str]: ...
    async def topic(self, cluster: str, topic: str) -> dict[str, Any]: ...
    async def create_topic(self, cluster: str, topic: str, **settings: Any) -> dict[str, Any]: ...
    async def delete_topic(self, cluster: str, topic: str) -> None: ...
    async def update_partitions(self, cluster: str, topic: str, count: int) -> dict[str, Any]: ...
    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]: ...
    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]: ...
    async def configs(self, cluster: str, topic: str) -> dict[str, str]: ...
    async def config(self, cluster: str, topic: str, name: str) -> tuple[str, bool]: ...
    async def update_config(self, cluster: str, topic: str, name: str, value: str) -> None: ...
    async def reset_config(self, cluster: str, topic: str, name: str) -> None: ...
    async def alter_configs(self, cluster: str, topic: str, changes: list[dict[str, str]]) -> None: ...
    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]: ...
    async def create_consumer(self, group: str, name: str, **settings: str) -> str: ...
    async def subscribe(self, group: str, name: str, topics: list[str]) -> None: ...
    async def assign(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None: ...
    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]: ...
    async def commit(self, group: str, name: str, offsets: list[tuple[str, int, int]] | None = None) -> None: ...
    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None: ...
    async def seek_to_beginning(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None: ...
    async def seek_to_end(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None: ...
    async def delete_consumer(self, group: str, name: str) -> None: ...
    async def consumer_groups(self, cluster: str) -> dict[str, str]: ...
    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]: ...
    async def consumers(self, cluster: str, group: str) -> list[Reader]: ...
    async def consumer(self, cluster: str, group: str, consumer: str) -> Reader: ...
    async def consumer_assignments(self, cluster: str, group: str, consumer: str) -> list[tuple[str, int]]: ...
    async def consumer_assignment(
        self, cluster: str, group: str, consumer: str, topic: str, partition: int
    ) -> tuple[str, int]: ...
    async def lag_summary(self, cluster: str, group: str) -> LagSummary: ...
    async def lags(self, cluster: str, group: str) -> list[Lag]: ...
    async def lag(self, cluster: str, group: str, topic: str, partition: int) -> Lag: ...
    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        """The topics that were refused: name, what tells the kind of the error beside its status, message."""

    async def broker_configs(self, cluster: str, broker: int) -> dict[str, str | None]: ...
    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        """Broker and name of each config of all brokers."""

    async def broker_config(self, cluster: str, broker: int, name: str) -> dict[str, Any]:
        """A config, its members as REST names them, synonyms as ``(value, source)``."""

    async def update_broker_config(self, cluster: str, broker: int, name: str, value: str) -> None: ...
    async def reset_broker_config(self, cluster: str, broker: int, name: str) -> None: ...
    async def alter_broker_configs(
        self, cluster: str, broker: int, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None: ...
    async def cluster_configs(self, cluster: str) -> dict[str, str | None]: ...
    async def cluster_config(self, cluster: str, name: str) -> dict[str, Any]:
        """As broker_config."""

    async def update_cluster_config(self, cluster: str, name: str, value: str) -> None: ...
    async def reset_cluster_config(self, cluster: str, name: str) -> None: ...
    async def alter_cluster_configs(
        self, cluster: str, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None: ...
    async def not_served_yet(self, cluster: str) -> None:
        """Call an operation that isn't implemented."""

    async def close(self) -> None: ...

    async def acls(self, cluster: str, **filters: str) -> list[dict[str, str]]: ...
    async def create_acl(self, cluster: str, acl: dict[str, str]) -> None: ...
    async def create_acls(self, cluster: str, acls: list[dict[str, str]]) -> None: ...
    async def delete_acls(self, cluster: str, **filters: str) -> list[dict[str, str]]: ...
    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        """The successes (id, partition, offset) and the failures (id, codes)."""

    async def reassignments(self, cluster: str, topic: str | None = None) -> list[Moving]: ...
    async def reassignment(self, cluster: str, topic: str, partition: int) -> Moving | None:
        """That of a partition; None where there is none, which REST and gRPC call NotFound."""

    async def produce_with_schema(self, cluster: str, topic: str, value: dict[str, Any]) -> dict[str, Any]:
        """Produce a value as REST writes it, with ``type``, ``schema``, ``schema_id`` and so on; its report."""
