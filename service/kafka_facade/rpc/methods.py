"""What serves each gRPC method that the core can do; all others of the catalogue answer UNIMPLEMENTED."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from kafka_facade.core.acls.model import BatchCreateAcls, CreateAcl, DeleteAcls, ListAcls
from kafka_facade.core.acls.order import order as acl_order
from kafka_facade.core.clusters.model import GetBroker, GetCluster, ListBrokers
from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterClusterConfigs,
    AlterTopicConfigs,
    GetBrokerConfig,
    GetClusterConfig,
    GetTopicConfig,
    ListAllBrokerConfigs,
    ListBrokerConfigs,
    ListClusterConfigs,
    ListTopicConfigs,
    ResetBrokerConfig,
    ResetClusterConfig,
    ResetTopicConfig,
    UpdateBrokerConfig,
    UpdateClusterConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.groups.model import (
    GetConsumer,
    GetConsumerAssignment,
    GetConsumerGroup,
    GetConsumerLag,
    ListConsumerGroups,
)
from kafka_facade.core.instances.model import (
    AssignConsumer,
    CommitOffsets,
    ConsumerPartitions,
    ConsumerRef,
    CreateConsumer,
    SeekConsumer,
    SubscribeConsumer,
)
from kafka_facade.core.reassignments.model import ListReassignments, ListTopicReassignments
from kafka_facade.core.server.model import GetServerInfo
from kafka_facade.core.topics.model import (
    CreateTopic,
    DeleteTopic,
    GetPartition,
    GetReplica,
    GetTopic,
    ListBrokerReplicas,
    ListPartitions,
    ListTopics,
    UpdatePartitionCount,
)
from kafka_facade.rpc import configs, consumer_instances, records
from kafka_facade.rpc.dispatch import Binding, Custom, Listing, Single, Written

_by_partition = attrgetter("partition_id")


def _by_topic_and(name: str) -> Any:
    # A list, because that is what a page token gives back.
    return lambda item: [item.topic_name, getattr(item, name)]


def _by_broker_and_name(item: Any) -> Any:
    return [item.broker_id, item.name]


METHODS: dict[str, Binding | Written] = {
    "ServerService/GetServerInfo": Single(lambda f: f.server.get_info, GetServerInfo),
    "ClusterService/ListClusters": Listing(lambda f: f.clusters.list_clusters, None, attrgetter("cluster_id")),
    "ClusterService/GetCluster": Single(lambda f: f.clusters.get_cluster, GetCluster),
    "BrokerService/ListBrokers": Listing(lambda f: f.clusters.list_brokers, ListBrokers, attrgetter("broker_id")),
    "BrokerService/GetBroker": Single(lambda f: f.clusters.get_broker, GetBroker),
    "TopicService/ListTopics": Listing(lambda f: f.topics.list_topics, ListTopics, attrgetter("topic_name")),
    "TopicService/GetTopic": Single(lambda f: f.topics.get_topic, GetTopic),
    "TopicService/CreateTopic": Single(lambda f: f.topics.create_topic, CreateTopic),
    "TopicService/DeleteTopic": Single(lambda f: f.topics.delete_topic, DeleteTopic),
    "TopicService/UpdatePartitionCount": Single(lambda f: f.topics.update_partition_count, UpdatePartitionCount),
    "PartitionService/ListPartitions": Listing(lambda f: f.topics.list_partitions, ListPartitions, _by_partition),
    "PartitionService/GetPartition": Single(lambda f: f.topics.get_partition, GetPartition),
    "PartitionService/GetPartitionOffsets": Single(lambda f: f.topics.get_offsets, GetPartition),
    "ReplicaService/ListReplicas": Listing(lambda f: f.topics.list_replicas, GetPartition),
    "ReplicaService/GetReplica": Single(lambda f: f.topics.get_replica, GetReplica),
    "ReplicaService/ListBrokerReplicas": Listing(
        lambda f: f.topics.list_broker_replicas, ListBrokerReplicas, _by_topic_and("partition_id")
    ),
    "TopicConfigService/ListTopicConfigs": Listing(
        lambda f: f.topic_configs.list_configs, ListTopicConfigs, attrgetter("name")
    ),
    "TopicConfigService/ListAllTopicConfigs": Listing(
        lambda f: f.topic_configs.list_configs, ListTopicConfigs, _by_topic_and("name")
    ),
    "TopicConfigService/GetTopicConfig": Single(lambda f: f.topic_configs.get_config, GetTopicConfig),
    "TopicConfigService/UpdateTopicConfig": Single(lambda f: f.topic_configs.update_config, UpdateTopicConfig),
    "TopicConfigService/ResetTopicConfig": Single(lambda f: f.topic_configs.reset_config, ResetTopicConfig),
    "TopicConfigService/AlterTopicConfigs": Single(lambda f: f.topic_configs.alter_configs, AlterTopicConfigs),
    "TopicConfigService/AlterMultipleTopicConfigs": Custom(configs.alter_multiple),
    "BrokerConfigService/ListBrokerConfigs": Listing(
        lambda f: f.broker_configs.list_configs, ListBrokerConfigs, attrgetter("name")
    ),
    "BrokerConfigService/ListAllBrokerConfigs": Listing(
        lambda f: f.broker_configs.list_all, ListAllBrokerConfigs, _by_broker_and_name
    ),
    "BrokerConfigService/GetBrokerConfig": Single(lambda f: f.broker_configs.get_config, GetBrokerConfig),
    "BrokerConfigService/UpdateBrokerConfig": Single(lambda f: f.broker_configs.update_config, UpdateBrokerConfig),
    "BrokerConfigService/ResetBrokerConfig": Single(lambda f: f.broker_configs.reset_config, ResetBrokerConfig),
    "BrokerConfigService/AlterBrokerConfigs": Single(lambda f: f.broker_configs.alter_configs, AlterBrokerConfigs),
    "ClusterConfigService/ListClusterConfigs": Listing(
        lambda f: f.cluster_configs.list_configs, ListClusterConfigs, attrgetter("name")
    ),
    "ClusterConfigService/GetClusterConfig": Single(lambda f: f.cluster_configs.get_config, GetClusterConfig),
    "ClusterConfigService/UpdateClusterConfig": Single(lambda f: f.cluster_configs.update_config, UpdateClusterConfig),
    "ClusterConfigService/ResetClusterConfig": Single(lambda f: f.cluster_configs.reset_config, ResetClusterConfig),
    "ClusterConfigService/AlterClusterConfigs": Single(lambda f: f.cluster_configs.alter_configs, AlterClusterConfigs),
    "RecordService/ProduceRecords": Custom(records.produce),
    "ConsumerInstanceService/CreateConsumerInstance": Single(lambda f: f.consumers.create, CreateConsumer),
    "ConsumerInstanceService/DeleteConsumerInstance": Single(lambda f: f.consumers.delete, ConsumerRef),
    "ConsumerInstanceService/Subscribe": Single(lambda f: f.consumers.subscribe, SubscribeConsumer),
    "ConsumerInstanceService/GetSubscription": Listing(lambda f: f.consumers.get_subscription, ConsumerRef),
    "ConsumerInstanceService/Unsubscribe": Single(lambda f: f.consumers.unsubscribe, ConsumerRef),
    "ConsumerInstanceService/AssignPartitions": Single(lambda f: f.consumers.assign, AssignConsumer),
    "ConsumerInstanceService/GetAssignments": Listing(lambda f: f.consumers.get_assignments, ConsumerRef),
    "ConsumerInstanceService/FetchRecords": Written(consumer_instances.fetch, consumer_instances.identify),
    "ConsumerInstanceService/CommitOffsets": Single(lambda f: f.consumers.commit, CommitOffsets),
    "ConsumerInstanceService/GetCommittedOffsets": Listing(lambda f: f.consumers.get_committed, ConsumerPartitions),
    "ConsumerInstanceService/SeekToOffsets": Single(lambda f: f.consumers.seek, SeekConsumer),
    "ConsumerInstanceService/SeekToBeginning": Single(lambda f: f.consumers.seek_to_beginning, ConsumerPartitions),
    "ConsumerInstanceService/SeekToEnd": Single(lambda f: f.consumers.seek_to_end, ConsumerPartitions),
    "ConsumerGroupService/ListConsumerGroups": Listing(
        lambda f: f.groups.list_groups, ListConsumerGroups, attrgetter("consumer_group_id")
    ),
    "ConsumerGroupService/GetConsumerGroup": Single(lambda f: f.groups.get_group, GetConsumerGroup),
    "ConsumerGroupService/GetConsumerGroupLagSummary": Single(lambda f: f.groups.get_lag_summary, GetConsumerGroup),
    "ConsumerGroupService/ListConsumers": Listing(
        lambda f: f.groups.list_consumers, GetConsumerGroup, attrgetter("consumer_id")
    ),
    "ConsumerGroupService/GetConsumer": Single(lambda f: f.groups.get_consumer, GetConsumer),
    "ConsumerGroupService/ListConsumerAssignments": Listing(
        lambda f: f.groups.list_assignments, GetConsumer, _by_topic_and("partition_id")
    ),
    "ConsumerGroupService/GetConsumerAssignment": Single(lambda f: f.groups.get_assignment, GetConsumerAssignment),
    "ConsumerGroupService/ListConsumerLags": Listing(lambda f: f.groups.list_lags, GetConsumerGroup),
    "ConsumerGroupService/GetConsumerLag": Single(lambda f: f.groups.get_lag, GetConsumerLag),
    "RecordService/BatchProduceRecords": Custom(records.produce_batch),
    "AclService/ListAcls": Listing(lambda f: f.acls.list_acls, ListAcls, acl_order),
    "AclService/CreateAcl": Single(lambda f: f.acls.create_acl, CreateAcl),
    "AclService/BatchCreateAcls": Single(lambda f: f.acls.create_acls, BatchCreateAcls),
    "AclService/DeleteAcls": Listing(lambda f: f.acls.delete_acls, DeleteAcls),
    "PartitionReassignmentService/ListPartitionReassignments": Listing(
        lambda f: f.reassignments.list_reassignments, ListReassignments, _by_topic_and("partition_id")
    ),
    "PartitionReassignmentService/ListTopicPartitionReassignments": Listing(
        lambda f: f.reassignments.list_topic_reassignments, ListTopicReassignments, _by_partition
    ),
    "PartitionReassignmentService/GetPartitionReassignment": Single(
        lambda f: f.reassignments.get_reassignment, GetPartition
    ),
}
