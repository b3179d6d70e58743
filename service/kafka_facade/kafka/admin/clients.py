"""Which client sends each admin request: the one place that decides.

| requests | client | because |
|---|---|---|
| describe topics | librdkafka; kafka-python while it is silent | it is cheaper, but waits for a broker that hangs |
| describe the cluster | kafka-python | it keeps its list of brokers fresh with the answer |
| offsets, groups | kafka-python | librdkafka 2.16 can crash or abort the process in them |
| configs | kafka-python | librdkafka loses synonyms and lacks cluster-wide configs |
| default configs of topics | kafka-python | librdkafka returns no configs of a topic that it validates |
| list ACLs | kafka-python | librdkafka loses the error, and lacks users and delegation tokens |
| create and delete ACLs | librdkafka, except those that it lacks | it loses nothing in these |
| reassignments, unregistering and cordoned brokers | kafka-python | librdkafka has no request for them |
| create and delete topics, create partitions | librdkafka | it loses nothing in these |

kafka-python cannot connect with some security settings. Then librdkafka sends all that it can.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from confluent_kafka.admin import AdminClient

from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.admin.leaders import Leaders
from kafka_facade.kafka.admin.librdkafka_groups import ClientGroups
from kafka_facade.kafka.admin.librdkafka_metadata import ClientMetadata
from kafka_facade.kafka.admin.log_offsets import ClientLogOffsets, LogOffsets
from kafka_facade.kafka.admin.metadata import Metadata
from kafka_facade.kafka.admin.metadata_source import MetadataSource
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.protocol.client import ProtocolClient

ALL_BROKERS = ""
"""The name of the config resource that means all brokers."""


class Client(Enum):
    """A client of Kafka."""

    LIBRDKAFKA = auto()
    KAFKA_PYTHON = auto()


def describing(
    client: AdminClient, blocking: Blocking, protocol: ProtocolClient | None
) -> MetadataSource | ClientMetadata:
    """Return what describes topics and the cluster."""
    quick = ClientMetadata(client, blocking)
    return quick if protocol is None or not protocol.usable else MetadataSource(quick, Metadata(protocol))


def offsets(
    client: AdminClient, blocking: Blocking, protocol: ProtocolClient | None, metadata: ProtocolClient | None
) -> LogOffsets | ClientLogOffsets:
    """Return what queries offsets; ``metadata`` finds the leaders."""
    if protocol is None or not protocol.usable:
        return ClientLogOffsets(client, blocking)
    return LogOffsets(protocol, Leaders(metadata or protocol).find)


def groups(client: AdminClient, blocking: Blocking, protocol: ProtocolClient) -> Coordinators | ClientGroups:
    """Return what asks the coordinators of groups."""
    return Coordinators(protocol) if protocol.usable else ClientGroups(client, blocking)


def own_groups(protocol: ProtocolClient) -> Coordinators | None:
    """Return what asks the coordinators of consumers' own groups; None if the consumers have to ask themselves."""
    return Coordinators(protocol) if protocol.usable else None


def configs(protocol: ProtocolClient, names: Iterable[str]) -> Client:
    """Return the client for the configs of topics or brokers with these names."""
    return Client.KAFKA_PYTHON if protocol.usable or ALL_BROKERS in names else Client.LIBRDKAFKA


def fenced_brokers(protocol: ProtocolClient) -> Client:
    """Return the client that lists brokers; librdkafka does not tell those that are down."""
    return Client.KAFKA_PYTHON if protocol.usable else Client.LIBRDKAFKA


def lists_acls(protocol: ProtocolClient, *, nameable: bool) -> Client:
    """Return the client that lists ACLs; ``nameable`` is whether librdkafka supports all in the filter."""
    return Client.KAFKA_PYTHON if protocol.usable or not nameable else Client.LIBRDKAFKA


def changes_acls(*, nameable: bool) -> Client:
    """Return the client that creates or deletes ACLs; ``nameable`` is whether librdkafka supports all of them."""
    return Client.LIBRDKAFKA if nameable else Client.KAFKA_PYTHON
