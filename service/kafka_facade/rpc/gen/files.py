"""The descriptors of all protos; written by scripts/generate."""

from kafka_facade.rpc.gen.v1 import acl_pb2
from kafka_facade.rpc.gen.v1 import balancer_pb2
from kafka_facade.rpc.gen.v1 import broker_config_pb2
from kafka_facade.rpc.gen.v1 import broker_pb2
from kafka_facade.rpc.gen.v1 import broker_replica_exclusion_pb2
from kafka_facade.rpc.gen.v1 import broker_task_pb2
from kafka_facade.rpc.gen.v1 import cell_pb2
from kafka_facade.rpc.gen.v1 import cluster_config_pb2
from kafka_facade.rpc.gen.v1 import cluster_link_pb2
from kafka_facade.rpc.gen.v1 import cluster_pb2
from kafka_facade.rpc.gen.v1 import config_pb2
from kafka_facade.rpc.gen.v1 import consumer_group_pb2
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2
from kafka_facade.rpc.gen.v1 import mirror_topic_pb2
from kafka_facade.rpc.gen.v1 import partition_pb2
from kafka_facade.rpc.gen.v1 import partition_reassignment_pb2
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.gen.v1 import replica_pb2
from kafka_facade.rpc.gen.v1 import replica_status_pb2
from kafka_facade.rpc.gen.v1 import server_pb2
from kafka_facade.rpc.gen.v1 import topic_config_pb2
from kafka_facade.rpc.gen.v1 import topic_pb2

FILES = (
    acl_pb2.DESCRIPTOR,
    balancer_pb2.DESCRIPTOR,
    broker_config_pb2.DESCRIPTOR,
    broker_pb2.DESCRIPTOR,
    broker_replica_exclusion_pb2.DESCRIPTOR,
    broker_task_pb2.DESCRIPTOR,
    cell_pb2.DESCRIPTOR,
    cluster_config_pb2.DESCRIPTOR,
    cluster_link_pb2.DESCRIPTOR,
    cluster_pb2.DESCRIPTOR,
    config_pb2.DESCRIPTOR,
    consumer_group_pb2.DESCRIPTOR,
    consumer_instance_pb2.DESCRIPTOR,
    mirror_topic_pb2.DESCRIPTOR,
    partition_pb2.DESCRIPTOR,
    partition_reassignment_pb2.DESCRIPTOR,
    record_pb2.DESCRIPTOR,
    replica_pb2.DESCRIPTOR,
    replica_status_pb2.DESCRIPTOR,
    server_pb2.DESCRIPTOR,
    topic_config_pb2.DESCRIPTOR,
    topic_pb2.DESCRIPTOR,
)
