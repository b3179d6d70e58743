"""Conversion by field name."""

import dataclasses
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, structs

from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterClusterConfigs,
    AlterMultipleTopicConfigs,
    AlterOperation,
    AlterTopicConfigs,
    BrokerConfig,
    ClusterConfig,
    ConfigAlteration,
    ConfigSynonym,
    TopicConfig,
    UpdateBrokerConfig,
    UpdateClusterConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.instances.model import (
    CommitOffsets,
    ConsumerInstance,
    CreateConsumer,
    FetchRecords,
    SeekConsumer,
    SubscribeConsumer,
)
from kafka_facade.core.records.model import DataReport, Format, Header, Record, RecordReport
from kafka_facade.core.server.model import ServerInfo
from kafka_facade.core.topics.model import (
    ConfigEntry,
    CreateTopic,
    GetTopic,
    ListTopics,
    Partition,
    PartitionOffsets,
    Replica,
    Topic,
)
from kafka_facade.core.topics.positions import CommittedOffset, PartitionPosition, PartitionTime, TopicPartition
from kafka_facade.rpc.convert import reader, to_milliseconds, to_timestamp, writer
from kafka_facade.rpc.gen.v1 import (
    broker_config_pb2,
    broker_pb2,
    cluster_config_pb2,
    cluster_pb2,
    config_pb2,
    consumer_instance_pb2,
    partition_pb2,
    record_pb2,
    replica_pb2,
    server_pb2,
    topic_config_pb2,
    topic_pb2,
)
from kafka_facade.rpc.names import field_of, spell
from kafka_facade.rpc.services import SERVICES

MESSAGES: list[tuple[type[Any], Any]] = [
    (Cluster, cluster_pb2.Cluster),
    (Broker, broker_pb2.Broker),
    (Topic, topic_pb2.Topic),
    (Replica, replica_pb2.Replica),
    (Partition, partition_pb2.Partition),
    (PartitionOffsets, partition_pb2.PartitionOffsets),
    (ConfigSynonym, config_pb2.ConfigSynonym),
    (TopicConfig, topic_config_pb2.TopicConfig),
    (BrokerConfig, broker_config_pb2.BrokerConfig),
    (ClusterConfig, cluster_config_pb2.ClusterConfig),
    (Header, record_pb2.Header),
    (Record, record_pb2.Record),
    (DataReport, record_pb2.DataReport),
    (RecordReport, record_pb2.RecordReport),
    (TopicPartition, consumer_instance_pb2.TopicPartition),
    (PartitionPosition, consumer_instance_pb2.PartitionPosition),
    (PartitionTime, consumer_instance_pb2.PartitionTime),
    (CommittedOffset, consumer_instance_pb2.CommittedOffset),
    (ConsumerInstance, consumer_instance_pb2.ConsumerInstance),
    (ServerInfo, server_pb2.ServerInfo),
    (ConfigEntry, config_pb2.ConfigEntry),
    (ConfigAlteration, config_pb2.ConfigAlteration),
    (CreateTopic, topic_pb2.CreateTopicRequest),
    (AlterTopicConfigs, topic_config_pb2.AlterTopicConfigsRequest),
    (UpdateTopicConfig, topic_config_pb2.UpdateTopicConfigRequest),
    (AlterMultipleTopicConfigs, topic_config_pb2.AlterMultipleTopicConfigsRequest),
    (AlterBrokerConfigs, broker_config_pb2.AlterBrokerConfigsRequest),
    (UpdateBrokerConfig, broker_config_pb2.UpdateBrokerConfigRequest),
    (AlterClusterConfigs, cluster_config_pb2.AlterClusterConfigsRequest),
    (UpdateClusterConfig, cluster_config_pb2.UpdateClusterConfigRequest),
    (CreateConsumer, consumer_instance_pb2.CreateConsumerInstanceRequest),
    (SubscribeConsumer, consumer_instance_pb2.SubscribeRequest),
    (FetchRecords, consumer_instance_pb2.FetchRecordsRequest),
    (CommitOffsets, consumer_instance_pb2.CommitOffsetsRequest),
    (SeekConsumer, consumer_instance_pb2.SeekToOffsetsRequest),
]

# What the face decides, and not its caller.
OF_THE_FACE = {"max_answer_bytes", "max_record_bytes", "at_once", "formats", "headers_bytes", "objects"}
# What the face reads and writes by itself.
OF_THE_MESSAGE = {
    *("decoded_key", "decoded_value", "key_error", "value_error"),
    *("key_format", "value_format", "decode_with_registry"),
}


@pytest.mark.parametrize(("core", "message"), MESSAGES, ids=[core.__name__ for core, _ in MESSAGES])
def test_messages_and_core_types_have_the_same_fields(core: type[Any], message: Any) -> None:
    fields = structs.fields(core) if issubclass(core, Struct) else dataclasses.fields(core)
    own = {field.name for field in fields} - OF_THE_FACE
    found = [field_of(message.DESCRIPTOR, name) for name in own]
    named = set(message.DESCRIPTOR.fields_by_name) - OF_THE_MESSAGE
    assert {field.name for field in found if field is not None} == named
    assert len(found) == len(named)


def test_list_methods_are_paginated() -> None:
    lists = [method for service in SERVICES for method in service.methods if method.name.startswith("List")]
    assert lists
    for method in lists:
        # Cells are always in one response, as in the reference.
        if method.name == "ListCells":
            continue
        assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name), method.full_name
        answer = method.output_type
        assert answer.fields_by_number[1].is_repeated, method.full_name
        assert answer.fields_by_name["next_page_token"].number == 2, method.full_name


@given(st.integers(min_value=-(10**13), max_value=10**14))
def test_timestamps_keep_milliseconds(milliseconds: int) -> None:
    found = to_timestamp(milliseconds)
    assert found is not None
    assert to_milliseconds(found) == milliseconds
    assert 0 <= found.nanos < 1_000_000_000


@pytest.mark.parametrize("milliseconds", [-(2**63), -62_135_596_800_001, 253_402_300_800_000, 2**63 - 1])
def test_times_that_a_timestamp_cannot_represent_are_omitted(milliseconds: int) -> None:
    assert to_timestamp(milliseconds) is None


def test_times_are_rounded_down_to_milliseconds() -> None:
    assert to_milliseconds(Timestamp(seconds=1, nanos=999_999)) == 1000


def test_requests_are_converted_by_field_name() -> None:
    message = topic_pb2.CreateTopicRequest(
        cluster_id="c",
        topic_name="t",
        replicas_assignments={1: topic_pb2.BrokerIds(broker_ids=[3, 1])},
        configs=[config_pb2.ConfigEntry(name="a", value=""), config_pb2.ConfigEntry(name="b")],
    )
    assert reader(CreateTopic, topic_pb2.CreateTopicRequest)(message) == CreateTopic(
        "c",
        "t",
        replicas_assignments={1: [3, 1]},
        configs=[ConfigEntry("a", ""), ConfigEntry("b", None)],
    )


def test_absent_fields_are_none_or_the_default() -> None:
    listed = reader(ListTopics, topic_pb2.ListTopicsRequest)(topic_pb2.ListTopicsRequest())
    assert listed == ListTopics(None)
    read = reader(AlterTopicConfigs, topic_config_pb2.AlterTopicConfigsRequest)
    altered = read(
        topic_config_pb2.AlterTopicConfigsRequest(
            cluster_id="c",
            topic_name="t",
            data=[
                config_pb2.ConfigAlteration(name="a", value="1"),
                config_pb2.ConfigAlteration(name="b", operation=config_pb2.ALTER_OPERATION_DELETE),
            ],
        )
    )
    assert [change.operation for change in altered.data] == [AlterOperation.SET, AlterOperation.DELETE]
    commit = reader(CommitOffsets, consumer_instance_pb2.CommitOffsetsRequest)
    assert commit(consumer_instance_pb2.CommitOffsetsRequest(consumer_group_id="g", instance_id="i")).offsets is None


def test_consumer_settings_are_converted_to_text() -> None:
    message = consumer_instance_pb2.CreateConsumerInstanceRequest(
        consumer_group_id="g", format=record_pb2.FORMAT_JSON, auto_commit=False, fetch_min_bytes=-1
    )
    read = reader(CreateConsumer, consumer_instance_pb2.CreateConsumerInstanceRequest)
    assert read(message) == CreateConsumer("g", format="json", auto_commit_enable="false", fetch_min_bytes="-1")


def test_a_required_text_must_not_be_empty() -> None:
    with pytest.raises(InvalidRequest) as caught:
        reader(GetTopic, topic_pb2.GetTopicRequest)(topic_pb2.GetTopicRequest(cluster_id="c"))
    assert caught.value.metadata == {"field": "topic_name"}


def test_an_unknown_enum_value_is_refused_by_name() -> None:
    message = config_pb2.ConfigAlteration(name="a")
    message.operation = 99  # type: ignore[assignment]
    with pytest.raises(InvalidRequest) as caught:
        reader(ConfigAlteration, config_pb2.ConfigAlteration)(message)
    assert caught.value.metadata == {"field": "operation"}


def test_resources_are_converted_by_field_name() -> None:
    config = TopicConfig(
        cluster_id="c",
        topic_name="t",
        name="n",
        value=None,
        is_read_only=False,
        is_sensitive=True,
        source="DEFAULT_CONFIG",
        synonyms=[ConfigSynonym("n", "v", "A_NEW_SOURCE")],
        is_default=True,
    )
    assert writer(topic_config_pb2.TopicConfig)(config) == topic_config_pb2.TopicConfig(
        cluster_id="c",
        topic_name="t",
        name="n",
        is_sensitive=True,
        source=config_pb2.CONFIG_SOURCE_DEFAULT_CONFIG,
        synonyms=[config_pb2.ConfigSynonym(name="n", value="v")],
        is_default=True,
    )


def test_reports_have_format_and_size() -> None:
    report = RecordReport("c", "t", 0, 0, 1500, DataReport(Format.JSON, -1), None)
    assert writer(record_pb2.RecordReport)(report) == record_pb2.RecordReport(
        cluster_id="c",
        topic_name="t",
        offset=0,
        timestamp=Timestamp(seconds=1, nanos=500_000_000),
        key=record_pb2.DataReport(type=record_pb2.FORMAT_JSON, size=-1),
    )


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("topic_name", "topic_name"),
        ("records[1].value.data", "records[1].value.json"),
        ("records[0].key.data", "records[0].key.text"),
        ("records[1].key.data", "records[1].key.data"),
        ("records[1].headers[0].name", "records[1].headers[0].name"),
        ("records[7].value.data", "records[7].value.data"),
        ("nothing.of[2].that", "nothing.of[2].that"),
        ("", ""),
    ],
)
def test_field_paths_use_the_names_of_the_request(path: str, spelled: str) -> None:
    request = record_pb2.ProduceRecordsRequest(
        records=[
            record_pb2.RecordToProduce(key=record_pb2.RecordData(text="k")),
            record_pb2.RecordToProduce(value=record_pb2.RecordData(json="{"), headers=[record_pb2.Header(name="h")]),
        ]
    )
    assert spell(path, request) == spelled


def test_field_paths_use_the_names_of_the_protos() -> None:
    subscribe = consumer_instance_pb2.SubscribeRequest(topic_names=["a", "b"])
    assert spell("topics[1]", subscribe) == "topic_names[1]"
    assert spell("instance", subscribe) == "instance_id"


@given(st.text(alphabet="records[].0129valuekydt", max_size=30))
def test_any_field_path_is_converted(path: str) -> None:
    request = record_pb2.ProduceRecordsRequest(records=[record_pb2.RecordToProduce()])
    assert isinstance(spell(path, request), str)
