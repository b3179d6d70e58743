"""A channel to the gateway, and the details of failed calls."""

from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from kafka_facade_devstack.gateway import Gateway

InfoOf = Callable[[Status | grpc.aio.AioRpcError], ErrorInfo]


@pytest.fixture
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the session's gateway."""
    async with grpc.aio.insecure_channel(gateway.grpc) as opened:
        yield opened


@pytest.fixture
def info_of() -> InfoOf:
    """`info_of(failure)`: the one ErrorInfo of a status or of a failed call, whose code is the status's."""

    def read(failure: Status | grpc.aio.AioRpcError) -> ErrorInfo:
        status = _status(failure) if isinstance(failure, grpc.aio.AioRpcError) else failure
        found = []
        for detail in status.details:
            info = ErrorInfo()
            if detail.Unpack(info):
                found.append(info)
        [info] = found
        return info

    return read


def _status(failure: grpc.aio.AioRpcError) -> Status:
    details = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = Status.FromString(details)
    assert (status.code, status.message) == (failure.code().value[0], failure.details())
    return status
