"""The operations of gRPC methods in the shipped gateway."""

from kafka_facade.core.catalogue import CATALOGUE, Operation
from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rpc import dispatch


def operation_of(service: str, method: str) -> Operation:
    """The operation of a method; ``service`` is the name without the package."""
    return dispatch.operation_of(CATALOGUE, IMPLEMENTED, service, method)
