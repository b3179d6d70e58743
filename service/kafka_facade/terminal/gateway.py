"""A running gateway, called over gRPC."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import click
import grpc
from google.protobuf.message import Message

from kafka_facade.rpc.convert import enum_names
from kafka_facade.rpc.gen.v1 import broker_task_pb2, broker_task_pb2_grpc

# A gateway that does not answer pings is gone, as is one that cannot be reached for the last of these.
_PING_MS: Final = 20_000
_PONG_MS: Final = 10_000
_AWAY_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 1.0
# What passes: the gateway or its Kafka does not answer now, or has no room for another call.
_PASSING: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_TYPE: Final = "BROKER_TASK_TYPE_"
_TIMESTAMP: Final = "google.protobuf.Timestamp"


class GatewayError(click.ClickException):
    """The gateway cannot be reached, or has rejected a call."""

    def show(self, file: Any = None) -> None:
        """Print the error as other commands do."""
        click.echo(f"kafka-facade: {self.message}", file=file, err=True)


class TaskGateway:
    """The tasks behind a gateway at ``host:port``. ``timeout`` (s) bounds all calls but streams."""

    def __init__(self, address: str, cluster_id: str, timeout: float) -> None:
        self._address = address
        self._cluster_id = cluster_id
        self._timeout = timeout
        options = [("grpc.keepalive_time_ms", _PING_MS), ("grpc.keepalive_timeout_ms", _PONG_MS)]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = broker_task_pb2_grpc.BrokerTaskServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._channel.close()

    def tasks(self) -> Sequence[broker_task_pb2.BrokerTask]:
        """Return all tasks. Raises GatewayError."""
        found: list[broker_task_pb2.BrokerTask] = []
        token = ""
        with self._reporting():
            while True:
                request = broker_task_pb2.ListAllBrokerTasksRequest(cluster_id=self._cluster_id, page_token=token)
                page = self._stub.ListAllBrokerTasks(request, timeout=self._timeout)
                found += page.broker_tasks
                token = page.next_page_token
                if not token:
                    return found

    def follow(
        self, broker_id: int, task_type: str, tell: Callable[[str], None]
    ) -> Iterator[broker_task_pb2.BrokerTaskProgress]:
        """Yield a task until it has ended.

        A gateway that goes away, or cannot answer now, is tried again for a minute; ``tell`` gets a text then. Raises
        GatewayError.
        """
        number = broker_task_pb2.BrokerTaskType.Value(_TYPE + task_type.upper().replace("-", "_"))
        request = broker_task_pb2.WatchBrokerTaskRequest(
            cluster_id=self._cluster_id, broker_id=broker_id, task_type=number
        )
        last: broker_task_pb2.BrokerTaskProgress | None = None
        away_since: float | None = None
        with self._reporting():
            while True:
                try:
                    for progress in self._stub.WatchBrokerTask(request):
                        away_since = None
                        if last is not None and progress.task.created_at != last.task.created_at:
                            message = f"Broker {broker_id} has another task {task_type} now."
                            raise GatewayError(message)
                        if progress != last:
                            yield progress
                        last = progress
                except grpc.RpcError as error:
                    now = time.monotonic()
                    if last is None or error.code() not in _PASSING:
                        raise
                    if away_since is None:
                        away_since = now
                        tell("The gateway is away. Trying again ...")
                    if now - away_since > _AWAY_SECONDS:
                        raise
                    time.sleep(_RETRY_SECONDS)
                else:
                    return

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            said = error.details() or error.code().name
            metadata: Any = error.trailing_metadata() or ()
            if "grpc-status-details-bin" in dict(metadata):
                raise GatewayError(said) from None
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise GatewayError(f"{self._address} is no gateway that has tasks: {said}") from None
            raise GatewayError(f"The gateway at {self._address} can't be reached: {said}") from None


def document(message: Message) -> dict[str, Any]:
    """Return a message as a JSON document with the names and values of REST; absent fields are left out."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.enum_type is not None:
            value = enum_names(field.enum_type).get(value, "UNKNOWN")
            if field.name == "task_type":
                value = value.lower().replace("_", "-")
        elif field.message_type is not None:
            value = value.ToJsonString() if field.message_type.full_name == _TIMESTAMP else document(value)
        found[field.name] = value
    return found
