"""What operations can ask of Kafka with the clients of one identity."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.acls.port import AclPort
from kafka_facade.core.balancer.port import PlacementPort
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.clusters.port import BrokerPort
from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.exclusions.port import CordonPort
from kafka_facade.core.groups.port import GroupPort
from kafka_facade.core.reassignments.port import ReassignmentPort
from kafka_facade.core.records.port import ConsumerFactory, ProducerPort
from kafka_facade.core.replica_status.port import ReplicaLogsPort
from kafka_facade.core.state.port import TransactionPort
from kafka_facade.core.topics.port import AdminPort


@dataclass(frozen=True, slots=True)
class KafkaPorts:
    """The ports of one identity in one cluster. ``cluster`` remembers the id that Kafka has told this identity."""

    cluster: ClusterIdentity
    admin: AdminPort
    producer: ProducerPort
    consumers: ConsumerFactory
    groups: GroupPort
    acls: AclPort
    reassignments: ReassignmentPort
    brokers: BrokerPort
    configs: ConfigPort
    replica_logs: ReplicaLogsPort
    transactions: TransactionPort
    cordons: CordonPort
    placement: PlacementPort
