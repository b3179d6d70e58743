"""Errors of requests about ACLs, batches and reassignments that only gRPC allows."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from kafka_facade.rpc.gen.v1 import (
    acl_pb2,
    acl_pb2_grpc,
    partition_reassignment_pb2,
    partition_reassignment_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
)
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]
InfoOf = Callable[[Status | grpc.aio.AioRpcError], ErrorInfo]


async def _refused(call: Awaitable[Any], info_of: InfoOf) -> tuple[str, str]:
    """The message, and the field that is to blame."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = info_of(failure.value)
    assert info.reason == "INVALID_REQUEST"
    return failure.value.details() or "", info.metadata["field"]


def _binding(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "resource_type": acl_pb2.ACL_RESOURCE_TYPE_TOPIC,
        "resource_name": "t",
        "pattern_type": acl_pb2.ACL_PATTERN_TYPE_LITERAL,
        "principal": "User:rpc",
        "host": "*",
        "operation": acl_pb2.ACL_OPERATION_READ,
        "permission": acl_pb2.ACL_PERMISSION_ALLOW,
    }
    return whole | changes


async def test_missing_fields_of_an_acl(channel: grpc.aio.Channel, stack: BackgroundStack, info_of: InfoOf) -> None:
    service = acl_pb2_grpc.AclServiceStub(channel)
    for name in _binding():
        empty = _binding(**{name: type(_binding()[name])()})
        said = [
            await _refused(service.CreateAcl(acl_pb2.CreateAclRequest(cluster_id=stack.cluster_id, **empty)), info_of),
            await _refused(
                service.BatchCreateAcls(
                    acl_pb2.BatchCreateAclsRequest(cluster_id=stack.cluster_id, data=[acl_pb2.AclBinding(**empty)])
                ),
                info_of,
            ),
        ]
        text = name in ("resource_name", "principal", "host")
        message = f"{name} is required." if text else f"{name} cannot be UNKNOWN"
        assert said == [(message, name), (message, f"data[0].{name}")]
    listed = await service.ListAcls(acl_pb2.ListAclsRequest(cluster_id=stack.cluster_id, principal="User:rpc"))
    assert listed.total_size == 0


async def test_filters(channel: grpc.aio.Channel, stack: BackgroundStack, info_of: InfoOf) -> None:
    service = acl_pb2_grpc.AclServiceStub(channel)
    for names in ("", "resource_type", "resource_type pattern_type", "resource_type pattern_type operation"):
        given: dict[str, Any] = dict.fromkeys(names.split(), 1)
        call = service.DeleteAcls(acl_pb2.DeleteAclsRequest(cluster_id=stack.cluster_id, **given))
        missing = ("resource_type", "pattern_type", "operation", "permission")[len(given)]
        assert await _refused(call, info_of) == (f"{missing} cannot be unspecified or UNKNOWN", missing)
    newer: Any = 99
    unknown = acl_pb2.ListAclsRequest(cluster_id=stack.cluster_id, operation=newer)
    assert (await _refused(service.ListAcls(unknown), info_of))[1] == "operation"
    # An empty text is one that was left out.
    empty = acl_pb2.ListAclsRequest(cluster_id=stack.cluster_id, resource_name="", principal="", host="")
    everything = await service.ListAcls(acl_pb2.ListAclsRequest(cluster_id=stack.cluster_id))
    assert (await service.ListAcls(empty)).total_size == everything.total_size


async def test_a_batch_with_an_invalid_record(channel: grpc.aio.Channel, topic: TopicFactory, info_of: InfoOf) -> None:
    service = record_pb2_grpc.RecordServiceStub(channel)
    good = record_pb2.RecordToProduce(value=record_pb2.RecordData(text="x"))
    bad = record_pb2.RecordToProduce(value=record_pb2.RecordData(json="{"))
    entries = [record_pb2.BatchProduceEntry(id=id, record=record) for id, record in (("a", bad), ("b", good))]
    # Without a cluster's id it is the one behind the gateway.
    request = record_pb2.BatchProduceRecordsRequest(topic_name=await topic(), entries=entries)
    answer = await service.BatchProduceRecords(request)
    assert [(found.id, found.report.offset, found.report.value.size) for found in answer.successes] == [("b", 0, 1)]
    assert [(found.id, info_of(found.error).reason) for found in answer.failures] == [("a", "INVALID_REQUEST")]
    nameless = record_pb2.BatchProduceRecordsRequest(entries=entries)
    assert (await _refused(service.BatchProduceRecords(nameless), info_of))[1] == "topic_name"


async def test_reassignments_without_a_topic(
    channel: grpc.aio.Channel, stack: BackgroundStack, info_of: InfoOf
) -> None:
    service = partition_reassignment_pb2_grpc.PartitionReassignmentServiceStub(channel)
    listing = partition_reassignment_pb2.ListTopicPartitionReassignmentsRequest(cluster_id=stack.cluster_id)
    assert (await _refused(service.ListTopicPartitionReassignments(listing), info_of))[1] == "topic_name"
    getting = partition_reassignment_pb2.GetPartitionReassignmentRequest(cluster_id=stack.cluster_id)
    assert (await _refused(service.GetPartitionReassignment(getting), info_of))[1] == "topic_name"
