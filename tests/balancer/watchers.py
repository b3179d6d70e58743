"""Callers that watch a task, over each transport that has streams."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import grpc
import httpx
from google.rpc.status_pb2 import Status
from httpx_sse import aconnect_sse
from websockets.asyncio.client import connect

from faces.generic import graphql_error, grpc_error
from kafka_facade.rpc.gen.v1 import broker_task_pb2, broker_task_pb2_grpc
from kafka_facade_devstack.gateway import Gateway


class Seen(NamedTuple):
    """A state of a task that a caller got."""

    broker_id: int
    status: str
    reassignment: str
    partitions_total: int
    partitions_moved: int
    bytes_total: int
    bytes_moved: int
    bytes_per_second: int | None
    message: str | None


Watch = Callable[[Gateway, int, str], AsyncGenerator[Seen, None]]


def _name(task_type: str) -> str:
    """The name of a type in gRPC and GraphQL."""
    return task_type.upper().replace("-", "_")


async def over_grpc(gateway: Gateway, broker_id: int, task_type: str) -> AsyncGenerator[Seen, None]:
    """Raises FaceError."""
    number = broker_task_pb2.BrokerTaskType.Value(f"BROKER_TASK_TYPE_{_name(task_type)}")
    request = broker_task_pb2.WatchBrokerTaskRequest(broker_id=broker_id, task_type=number)
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call: Any = broker_task_pb2_grpc.BrokerTaskServiceStub(channel).WatchBrokerTask(request)
        try:
            async for message in call:
                task = message.task
                steps = task.sub_task_statuses
                yield Seen(
                    task.broker_id,
                    broker_task_pb2.BrokerTaskStatus.Name(task.task_status).removeprefix("BROKER_TASK_STATUS_"),
                    broker_task_pb2.PartitionReassignmentStatus.Name(steps.partition_reassignment_status).removeprefix(
                        "PARTITION_REASSIGNMENT_STATUS_"
                    ),
                    message.partitions_total,
                    message.partitions_moved,
                    message.bytes_total,
                    message.bytes_moved,
                    message.bytes_per_second if message.HasField("bytes_per_second") else None,
                    task.error_message if task.HasField("error_message") else None,
                )
        except grpc.aio.AioRpcError as failure:
            details = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
            assert isinstance(details, bytes)
            raise grpc_error(Status.FromString(details)) from failure


DOCUMENT = """subscription ($broker: Int!, $type: BrokerTaskType!) {
  brokerTask(brokerId: $broker, taskType: $type) {
    task { brokerId taskStatus errorMessage subTaskStatuses { partitionReassignmentStatus } broker { brokerId } }
    partitionsTotal partitionsMoved bytesTotal bytesMoved bytesPerSecond
  }
}"""


def payload(broker_id: int, task_type: str) -> dict[str, Any]:
    """The GraphQL request."""
    return {"query": DOCUMENT, "variables": {"broker": broker_id, "type": _name(task_type)}}


def _seen(answer: Any) -> Seen:
    if answer.get("errors"):
        raise graphql_error(answer["errors"][0])
    found = answer["data"]["brokerTask"]
    task = found["task"]
    # The broker that loses its replicas is still alive.
    assert task["broker"] == {"brokerId": task["brokerId"]}
    return Seen(
        task["brokerId"],
        task["taskStatus"],
        task["subTaskStatuses"]["partitionReassignmentStatus"],
        found["partitionsTotal"],
        found["partitionsMoved"],
        int(found["bytesTotal"]),
        int(found["bytesMoved"]),
        None if found["bytesPerSecond"] is None else int(found["bytesPerSecond"]),
        task["errorMessage"],
    )


async def over_events(gateway: Gateway, broker_id: int, task_type: str) -> AsyncGenerator[Seen, None]:
    """Server-sent events. Raises FaceError."""
    body = payload(broker_id, task_type)
    async with (
        httpx.AsyncClient(timeout=120) as client,
        aconnect_sse(client, "POST", gateway.graphql, json=body) as source,
    ):
        async for event in source.aiter_sse():
            if event.event == "complete":
                return
            yield _seen(event.json())
    raise AssertionError("the stream has no end")


async def over_websocket(gateway: Gateway, broker_id: int, task_type: str) -> AsyncGenerator[Seen, None]:
    """Raises FaceError."""
    url = gateway.graphql.replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
        await websocket.send('{"type": "connection_init"}')
        assert json.loads(await websocket.recv()) == {"type": "connection_ack"}
        message = {"id": "1", "type": "subscribe", "payload": payload(broker_id, task_type)}
        await websocket.send(json.dumps(message))
        async for text in websocket:
            answer = json.loads(text)
            if answer["type"] == "complete":
                return
            yield _seen({"errors": answer["payload"]} if answer["type"] == "error" else answer["payload"])
    raise AssertionError("the stream has no end")


WATCHES: dict[str, Watch] = {"grpc": over_grpc, "events": over_events, "websocket": over_websocket}
