"""Clusters and brokers, and the requests for them."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.request import Request


@dataclass(slots=True)
class Cluster:
    """A Kafka cluster. ``controller_id`` is the broker that metadata names as controller, None while there is none."""

    cluster_id: str
    controller_id: int | None


@dataclass(slots=True)
class Broker:
    """A broker; ``rack`` is None where none is set."""

    cluster_id: str
    broker_id: int
    host: str
    port: int
    rack: str | None


@dataclass(slots=True)
class Cell:
    """A part of a cluster in which tenants are placed."""

    cell_id: int
    state: int
    brokers: list[int]
    open_for_tenant_assignment: bool


@dataclass(slots=True)
class ClusterCells:
    """The cells of a cluster. Open Kafka has none."""

    cluster_id: str
    cells: list[Cell]
    cells_enabled: bool


@dataclass(slots=True)
class ListCells(Request[ClusterCells]):
    cluster_id: str | None


@dataclass(slots=True)
class ListClusters(Request[list[Cluster]]):
    pass


@dataclass(slots=True)
class GetCluster(Request[Cluster]):
    cluster_id: str | None


@dataclass(slots=True)
class ListBrokers(Request[list[Broker]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetBroker(Request[Broker]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class BrokerUnregistration:
    """A broker that is no longer registered in its cluster."""

    cluster_id: str
    broker_id: int


@dataclass(slots=True)
class UnregisterBroker(Request[BrokerUnregistration]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class ClusterDescription:
    """A cluster and its live brokers, ordered by id, from one answer."""

    cluster: Cluster
    brokers: list[Broker]


@dataclass(slots=True)
class DescribeCluster(Request[ClusterDescription]):
    cluster_id: str | None
