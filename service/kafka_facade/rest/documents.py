"""The JSON documents of resources, derived at start from the link table and the fields of each resource.

A document has ``kind`` and ``metadata``, then the fields in their order, then the relations. A field that a relation
replaces is left out: one with the name of a relation, and one that is in the path of a relation but not in the path of
the resource, such as ``leader_id``. The exceptions are below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any, Final

from kafka_facade.core.balancer.model import AnyUnevenLoad, BalancerStatus
from kafka_facade.core.broker_tasks.model import BrokerTask, RemoveBrokerTask
from kafka_facade.core.configs.model import BrokerConfig, ClusterConfig, TopicConfig
from kafka_facade.core.groups.model import ConsumerGroupLagSummary
from kafka_facade.core.links import Kind
from kafka_facade.core.replica_status.model import ReplicaStatus
from kafka_facade.core.topics.model import LastProducedTime, Topic

# Fields that come last, after the relations.
_LAST: Final[dict[type[Any], str]] = {
    Topic: "authorized_operations",
    TopicConfig: "is_default",
    BrokerConfig: "is_default",
    ClusterConfig: "is_default",
}

# Fields and relations in an order of their own.
_LAYOUTS: Final[dict[type[Any], tuple[str, ...]]] = {
    ConsumerGroupLagSummary: (
        "cluster_id",
        "consumer_group_id",
        "max_lag",
        "total_lag",
        "max_lag_consumer_id",
        "max_lag_consumer",
        "max_lag_client_id",
        "max_lag_instance_id",
        "max_lag_topic_name",
        "max_lag_partition_id",
        "max_lag_partition",
    ),
}

# Fields that are left out while they are None.
_ERROR: Final = ("error_code", "error_message")
_OPTIONAL: Final[dict[type[Any], tuple[str, ...]]] = {
    ReplicaStatus: ("link_name",),
    BrokerTask: ("shutdown_scheduled", *_ERROR),
    RemoveBrokerTask: _ERROR,
    BalancerStatus: _ERROR,
    AnyUnevenLoad: _ERROR,
}

# Times in milliseconds since 1970, which REST writes as text (RFC 3339).
_TIMES: Final[dict[type[Any], tuple[str, ...]]] = {
    LastProducedTime: ("last_produced_time",),
    BrokerTask: ("created_at", "updated_at"),
    AnyUnevenLoad: ("status_updated_at", "previous_status_updated_at"),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Document = Callable[[Any, str, str], dict[str, Any]]
"""Returns the document of a resource, given the base URL of the API and the authority of resource names."""


class Documents:
    """Makes the documents of resources, which are compiled once for each kind of the link table."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.type: kind for kind in kinds}
        self._compiled = {type_: _compile(kind) for type_, kind in self._kinds.items()}

    def kind(self, type_: type[Any]) -> Kind:
        """Return the kind of a type of resource. Raises LookupError if the link table has none."""
        try:
            return self._kinds[type_]
        except KeyError:
            raise LookupError(f"the link table has no {type_.__name__}") from None

    def document(self, resource: object, base: str, authority: str) -> dict[str, Any]:
        """Return the document of a resource; ``base`` is the URL before its path."""
        return self._compiled[type(resource)](resource, base, authority)


def layout(kind: Kind) -> tuple[str, ...]:
    """Return the members after ``metadata``, in order: names of fields and of relations."""
    if kind.type in _LAYOUTS:
        return _LAYOUTS[kind.type]
    last = _LAST.get(kind.type)
    replaced = set(kind.relations).union(*map(_names, kind.relations.values())) - _names(kind.path)
    fields = [field.name for field in dataclasses.fields(kind.type) if field.name not in replaced | {last}]
    return (*fields, *kind.relations, *([last] if last else ()))


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _compile(kind: Kind) -> Document:
    members = layout(kind)
    relations = frozenset(kind.relations)
    optional = _OPTIONAL.get(kind.type, ())
    times = _TIMES.get(kind.type, ())

    def document(resource: Any, base: str, authority: str) -> dict[str, Any]:
        related = kind.related_paths(resource)
        metadata = {"self": base + kind.self_path(resource)}
        if kind.crn:
            metadata["resource_name"] = kind.resource_name(resource, authority)
        document: dict[str, Any] = {"kind": kind.name, "metadata": metadata}
        for name in members:
            if name not in relations:
                value = getattr(resource, name)
                if value is not None or name not in optional:
                    document[name] = _time_text(value) if name in times else value
            elif name in related:
                document[name] = {"related": base + related[name]}
        return document

    return document


def _time_text(milliseconds: int | None) -> str | None:
    """The time as text; None for None, and outside of the years 1 to 9999."""
    if milliseconds is None:
        return None
    try:
        found = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
