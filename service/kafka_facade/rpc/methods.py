"""What serves each gRPC method that the core can do; all others of the catalogue answer UNIMPLEMENTED."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from kafka_facade.core import requests
from kafka_facade.core.acls import order as acl_order
from kafka_facade.rpc import configs, consumer_instances, records
from kafka_facade.rpc.dispatch import Binding, Custom, Listing, Single, Written

_by_partition = attrgetter("partition_id")


def _by_topic_and(name: str) -> Any:
    # A list, because that is what a page token gives back.
    return lambda item: [item.topic_name, getattr(item, name)]


def _by_broker_and_name(item: Any) -> Any:
    return [item.broker_id, item.name]


METHODS: dict[str, Binding | Written] = {
    "ServerService/GetServerInfo": Single(lambda f: f.server.get_info, requests.GetServerInfo),
    "ClusterService/ListClusters": Listing(lambda f: f.clusters.list_clusters, None, attrgetter("cluster_id")),
    "ClusterService/GetCluster": Single(lambda f: f.clusters.get_cluster, requests.GetCluster),
    "BrokerService/ListBrokers": Listing(
        lambda f: f.clusters.list_brokers, requests.ListBrokers, attrgetter("broker_id")
    ),
    "BrokerService/GetBroker": Single(lambda f: f.clusters.get_broker, requests.GetBroker),
    "TopicService/ListTopics": Listing(lambda f: f.topics.list_topics, requests.ListTopics, attrgetter("topic_name")),
    "TopicService/GetTopic": Single(lambda f: f.topics.get_topic, requests.GetTopic),
    "TopicService/CreateTopic": Single(lambda f: f.topics.create_topic, requests.CreateTopic),
    "TopicService/DeleteTopic": Single(lambda f: f.topics.delete_topic, requests.DeleteTopic),
    "TopicService/UpdatePartitionCount": Single(
        lambda f: f.topics.update_partition_count, requests.UpdatePartitionCount
    ),
    "PartitionService/ListPartitions": Listing(
        lambda f: f.topics.list_partitions, requests.ListPartitions, _by_partition
    ),
    "PartitionService/GetPartition": Single(lambda f: f.topics.get_partition, requests.GetPartition),
    "PartitionService/GetPartitionOffsets": Single(lambda f: f.topics.get_offsets, requests.GetPartition),
    "ReplicaService/ListReplicas": Listing(lambda f: f.topics.list_replicas, requests.GetPartition),
    "ReplicaService/GetReplica": Single(lambda f: f.topics.get_replica, requests.GetReplica),
    "ReplicaService/ListBrokerReplicas": Listing(
        lambda f: f.topics.list_broker_replicas, requests.ListBrokerReplicas, _by_topic_and("partition_id")
    ),
    "TopicConfigService/ListTopicConfigs": Listing(
        lambda f: f.topic_configs.list_configs, requests.ListTopicConfigs, attrgetter("name")
    ),
    "TopicConfigService/ListAllTopicConfigs": Listing(
        lambda f: f.topic_configs.list_configs, requests.ListTopicConfigs, _by_topic_and("name")
    ),
    "TopicConfigService/GetTopicConfig": Single(lambda f: f.topic_configs.get_config, requests.GetTopicConfig),
    "TopicConfigService/UpdateTopicConfig": Single(lambda f: f.topic_configs.update_config, requests.UpdateTopicConfig),
    "TopicConfigService/ResetTopicConfig": Single(lambda f: f.topic_configs.reset_config, requests.ResetTopicConfig),
    "TopicConfigService/AlterTopicConfigs": Single(lambda f: f.topic_configs.alter_configs, requests.AlterTopicConfigs),
    "TopicConfigService/AlterMultipleTopicConfigs": Custom(configs.alter_multiple),
    "BrokerConfigService/ListBrokerConfigs": Listing(
        lambda f: f.broker_configs.list_configs, requests.ListBrokerConfigs, attrgetter("name")
    ),
    "BrokerConfigService/ListAllBrokerConfigs": Listing(
        lambda f: f.broker_configs.list_all, requests.ListAllBrokerConfigs, _by_broker_and_name
    ),
    "BrokerConfigService/GetBrokerConfig": Single(lambda f: f.broker_configs.get_config, requests.GetBrokerConfig),
    "BrokerConfigService/UpdateBrokerConfig": Single(
        lambda f: f.broker_configs.update_config, requests.UpdateBrokerConfig
    ),
    "BrokerConfigService/ResetBrokerConfig": Single(
        lambda f: f.broker_configs.reset_config, requests.ResetBrokerConfig
    ),
    "BrokerConfigService/AlterBrokerConfigs": Single(
        lambda f: f.broker_configs.alter_configs, requests.AlterBrokerConfigs
    ),
    "ClusterConfigService/ListClusterConfigs": Listing(
        lambda f: f.cluster_configs.list_configs, requests.ListClusterConfigs, attrgetter("name")
    ),
    "ClusterConfigService/GetClusterConfig": Single(lambda f: f.cluster_configs.get_config, requests.GetClusterConfig),
    "ClusterConfigService/UpdateClusterConfig": Single(
        lambda f: f.cluster_configs.update_config, requests.UpdateClusterConfig
    ),
    "ClusterConfigService/ResetClusterConfig": Single(
        lambda f: f.cluster_configs.reset_config, requests.ResetClusterConfig
    ),
    "ClusterConfigService/AlterClusterConfigs": Single(
        lambda f: f.cluster_configs.alter_configs, requests.AlterClusterConfigs
    ),
    "RecordService/ProduceRecords": Custom(records.produce),
    "ConsumerInstanceService/CreateConsumerInstance": Single(lambda f: f.consumers.create, requests.CreateConsumer),
    "ConsumerInstanceService/DeleteConsumerInstance": Single(lambda f: f.consumers.delete, requests.ConsumerRef),
    "ConsumerInstanceService/Subscribe": Single(lambda f: f.consumers.subscribe, requests.SubscribeConsumer),
    "ConsumerInstanceService/GetSubscription": Listing(lambda f: f.consumers.get_subscription, requests.ConsumerRef),
    "ConsumerInstanceService/Unsubscribe": Single(lambda f: f.consumers.unsubscribe, requests.ConsumerRef),
    "ConsumerInstanceService/AssignPartitions": Single(lambda f: f.consumers.assign, requests.AssignConsumer),
    "ConsumerInstanceService/GetAssignments": Listing(lambda f: f.consumers.get_assignments, requests.ConsumerRef),
    "ConsumerInstanceService/FetchRecords": Written(consumer_instances.fetch, consumer_instances.identify),
    "ConsumerInstanceService/CommitOffsets": Single(lambda f: f.consumers.commit, requests.CommitOffsets),
    "ConsumerInstanceService/GetCommittedOffsets": Listing(
        lambda f: f.consumers.get_committed, requests.ConsumerPartitions
    ),
    "ConsumerInstanceService/SeekToOffsets": Single(lambda f: f.consumers.seek, requests.SeekConsumer),
    "ConsumerInstanceService/SeekToBeginning": Single(
        lambda f: f.consumers.seek_to_beginning, requests.ConsumerPartitions
    ),
    "ConsumerInstanceService/SeekToEnd": Single(lambda f: f.consumers.seek_to_end, requests.ConsumerPartitions),
    "ConsumerGroupService/ListConsumerGroups": Listing(
        lambda f: f.groups.list_groups, requests.ListConsumerGroups, attrgetter("consumer_group_id")
    ),
    "ConsumerGroupService/GetConsumerGroup": Single(lambda f: f.groups.get_group, requests.GetConsumerGroup),
    "ConsumerGroupService/GetConsumerGroupLagSummary": Single(
        lambda f: f.groups.get_lag_summary, requests.GetConsumerGroup
    ),
    "ConsumerGroupService/ListConsumers": Listing(
        lambda f: f.groups.list_consumers, requests.GetConsumerGroup, attrgetter("consumer_id")
    ),
    "ConsumerGroupService/GetConsumer": Single(lambda f: f.groups.get_consumer, requests.GetConsumer),
    "ConsumerGroupService/ListConsumerAssignments": Listing(
        lambda f: f.groups.list_assignments, requests.GetConsumer, _by_topic_and("partition_id")
    ),
    "ConsumerGroupService/GetConsumerAssignment": Single(
        lambda f: f.groups.get_assignment, requests.GetConsumerAssignment
    ),
    "ConsumerGroupService/ListConsumerLags": Listing(lambda f: f.groups.list_lags, requests.GetConsumerGroup),
    "ConsumerGroupService/GetConsumerLag": Single(lambda f: f.groups.get_lag, requests.GetConsumerLag),
    "RecordService/BatchProduceRecords": Custom(records.produce_batch),
    "AclService/ListAcls": Listing(lambda f: f.acls.list_acls, requests.ListAcls, acl_order),
    "AclService/CreateAcl": Single(lambda f: f.acls.create_acl, requests.CreateAcl),
    "AclService/BatchCreateAcls": Single(lambda f: f.acls.create_acls, requests.BatchCreateAcls),
    "AclService/DeleteAcls": Listing(lambda f: f.acls.delete_acls, requests.DeleteAcls),
    "PartitionReassignmentService/ListPartitionReassignments": Listing(
        lambda f: f.reassignments.list_reassignments, requests.ListReassignments, _by_topic_and("partition_id")
    ),
    "PartitionReassignmentService/ListTopicPartitionReassignments": Listing(
        lambda f: f.reassignments.list_topic_reassignments, requests.ListTopicReassignments, _by_partition
    ),
    "PartitionReassignmentService/GetPartitionReassignment": Single(
        lambda f: f.reassignments.get_reassignment, requests.GetPartition
    ),
}
