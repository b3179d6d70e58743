"""All errors that a caller can get, with their codes on each face.

    FacadeError
    ├── InvalidRequest
    │   ├── MalformedBody
    │   ├── InvalidKafkaRequest
    │   │   └── TopicAlreadyExists
    │   ├── InvalidTopicName
    │   ├── UnsupportedVersion
    │   ├── BalancerOffline
    │   ├── OnlyReplica
    │   ├── PayloadTooLarge
    │   ├── UnprocessableEntity
    │   │   ├── KeySchemaMissing
    │   │   ├── ValueSchemaMissing
    │   │   ├── InvalidConsumerConfig
    │   │   ├── InvalidSchema
    │   │   ├── InvalidPayload
    │   │   ├── SerializationFailed
    │   │   └── InvalidBatch
    │   ├── UnsupportedMediaType
    │   └── NotAcceptable
    │       └── ConsumerFormatMismatch
    ├── Unauthenticated
    │   └── KafkaAuthenticationFailed
    ├── PermissionDenied
    │   ├── KafkaAuthorizationFailed
    │   └── OperationBlocked
    ├── NotFound
    │   ├── ClusterNotFound
    │   ├── TopicNotFound
    │   ├── PartitionNotFound
    │   ├── ConsumerInstanceNotFound
    │   ├── ConsumerGroupNotFound
    │   ├── LeaderNotAvailable
    │   └── BrokerNotRegistered
    ├── MethodNotAllowed
    ├── Conflict
    │   ├── ConsumerAlreadyExists
    │   ├── IllegalConsumerState
    │   └── RecordTooLarge
    ├── SchemaLookupFailed
    │   └── SchemaRegistryUnavailable
    ├── DeserializationFailed
    ├── TooManyRequests
    ├── RequestTimeout
    ├── NotImplementedYet
    └── ServerError
        ├── KafkaError
        │   ├── RetriableKafkaError
        │   │   └── KafkaTimeout
        │   └── StateUnusable
        └── Unavailable

Faces translate the codes of an error, and may use messages of their own. Kafka's errors are mapped to these in
:mod:`kafka_facade.kafka.errors`.
Sources: API reference, "Errors" and the status codes of each operation; google.rpc.Code for the gRPC status.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from kafka_facade.core.quoting import quote, shorten, showable

_Error = TypeVar("_Error", bound=Exception)


@dataclass(frozen=True, slots=True)
class ErrorCodes:
    """The codes of an error on each face.

    ``v2`` and ``v3`` are the ``error_code`` of the REST API, ``status`` its HTTP status, ``grpc`` the name of the gRPC
    status code, ``retriable`` whether the same request may succeed later.
    """

    v2: int
    v3: int
    status: int
    grpc: str
    retriable: bool = False


ERRORS_BY_REASON: dict[str, type[FacadeError]] = {}


class FacadeError(Exception):
    """Base of all errors that reach a caller.

    ``reason`` (UPPER_SNAKE, AIP-193) identifies the error on gRPC (``ErrorInfo.reason``) and GraphQL
    (``extensions.code``). ``metadata`` has the values in the message for programs; its ``field`` is the path of the
    invalid field in the request, such as ``records[1].value.data``, which faces convert to their own names. Long
    messages and values are truncated (see :mod:`kafka_facade.core.quoting`).
    """

    codes: ClassVar[ErrorCodes]
    default_message: ClassVar[str]
    reason: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.reason = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).upper()
        ERRORS_BY_REASON[cls.reason] = cls

    def __init__(self, message: str | None = None, **metadata: str) -> None:
        self._message = None if message is None else showable(shorten(message))
        self.metadata = {name: showable(quote(value)) for name, value in metadata.items()}
        super().__init__(self.message)

    @property
    def field(self) -> str | None:
        """The path of the invalid field, or None."""
        return self.metadata.get("field")

    def at(self, field: str) -> Self:
        """Return a copy of the error with this field path."""
        moved = copy.copy(self)
        moved.metadata = self.metadata | {"field": showable(quote(field))}
        return moved

    def move_within(self, outer: str) -> None:
        """Move the field path below ``outer`` as :meth:`within` does, without a copy: for errors with one owner."""
        if self.field is not None:
            self.metadata["field"] = showable(quote(f"{outer}.{self.field}"))

    def within(self, outer: str, *, instead_of: str = "") -> Self:
        """Return the error with its field path below ``outer``, replacing the prefix ``instead_of``.

        An error without a field, or with a field outside of ``instead_of``, is returned unchanged.
        """
        field = self.field
        if field is None:
            return self
        if not instead_of:
            return self.at(f"{outer}.{field}")
        rest = field.removeprefix(instead_of)
        if not field.startswith(instead_of) or rest[:1] not in ("", ".", "["):
            return self
        return self.at(outer + rest)

    @property
    def own_message(self) -> str | None:
        """The message given at creation; None if it uses the default message."""
        return self._message

    @property
    def message(self) -> str:
        """The message for humans."""
        return self.default_message if self._message is None else self._message


class InvalidRequest(FacadeError):
    """The request is invalid."""

    codes = ErrorCodes(400, 400, 400, "INVALID_ARGUMENT")
    default_message = "Bad Request"


class MalformedBody(InvalidRequest):
    """The body is malformed: invalid JSON, a wrong type, or a missing member."""


class InvalidKafkaRequest(InvalidRequest):
    """Kafka rejected the request as invalid."""

    codes = ErrorCodes(40002, 40002, 400, "INVALID_ARGUMENT")


class TopicAlreadyExists(InvalidKafkaRequest):
    """A topic of that name exists."""

    codes = ErrorCodes(40002, 40002, 400, "ALREADY_EXISTS")


class InvalidTopicName(InvalidRequest):
    """The topic name is illegal in Kafka."""

    codes = ErrorCodes(40002, 40002, 400, "INVALID_ARGUMENT")
    default_message = "The request attempted to perform an operation on an invalid topic."


class UnsupportedVersion(InvalidRequest):
    """The brokers do not support the request."""

    codes = ErrorCodes(40035, 40035, 400, "FAILED_PRECONDITION")
    default_message = "The version of this API is not supported in the underlying Kafka cluster."


class BalancerOffline(InvalidRequest):
    """The balancer is switched off, or has not started."""

    codes = ErrorCodes(400, 400, 400, "FAILED_PRECONDITION")
    default_message = "The balancer is disabled or not started yet."


class OnlyReplica(InvalidRequest):
    """The broker has the only replica of a partition."""

    codes = ErrorCodes(400, 400, 400, "FAILED_PRECONDITION")
    default_message = "The broker has the only replica of a partition."


class PayloadTooLarge(InvalidRequest):
    """A body or a record is over its limit."""

    codes = ErrorCodes(413, 413, 413, "RESOURCE_EXHAUSTED")
    default_message = "The request included a message larger than the maximum message size the server can accept."


class UnprocessableEntity(InvalidRequest):
    """The request is well-formed but semantically invalid: an unknown field, an empty list of records."""

    codes = ErrorCodes(422, 422, 422, "INVALID_ARGUMENT")
    default_message = "Unprocessable Entity"


class KeySchemaMissing(UnprocessableEntity):
    """Keys in a format with schemas, and no key schema."""

    codes = ErrorCodes(42201, 42201, 422, "INVALID_ARGUMENT")
    default_message = "Request includes keys but does not include key schema"


class ValueSchemaMissing(UnprocessableEntity):
    """Values in a format with schemas, and no value schema."""

    codes = ErrorCodes(42202, 42202, 422, "INVALID_ARGUMENT")
    default_message = "Request includes values but does not include value schema"


class InvalidConsumerConfig(UnprocessableEntity):
    """A setting in the creation of a consumer instance has an invalid value."""

    codes = ErrorCodes(42204, 42204, 422, "INVALID_ARGUMENT")
    default_message = "Invalid consumer configuration"


class InvalidSchema(UnprocessableEntity):
    """The schema itself is wrong."""

    codes = ErrorCodes(42205, 422, 422, "INVALID_ARGUMENT")
    default_message = "Invalid schema"


class InvalidPayload(UnprocessableEntity):
    """A body is missing, or a value in it is out of its domain."""

    codes = ErrorCodes(42206, 42206, 422, "INVALID_ARGUMENT")
    default_message = "Payload error. Request body is empty. Data is required."


class SerializationFailed(UnprocessableEntity):
    """A message cannot be serialized."""

    codes = ErrorCodes(42207, 42207, 422, "INVALID_ARGUMENT")
    default_message = "Error serializing message"


class InvalidBatch(UnprocessableEntity):
    """A batch of records is empty, too long, or its ids are not distinct."""

    codes = ErrorCodes(42208, 42208, 422, "INVALID_ARGUMENT")
    default_message = "Empty batch."


class UnsupportedMediaType(InvalidRequest):
    """The body's content type is not one that the operation takes."""

    codes = ErrorCodes(415, 415, 415, "INVALID_ARGUMENT")
    default_message = "HTTP 415 Unsupported Media Type"


class NotAcceptable(InvalidRequest):
    """No media type that the caller accepts can be served."""

    codes = ErrorCodes(406, 406, 406, "INVALID_ARGUMENT")
    default_message = "HTTP 406 Not Acceptable"


class ConsumerFormatMismatch(NotAcceptable):
    """The format asked for is not that of the consumer instance."""

    codes = ErrorCodes(40601, 40601, 406, "FAILED_PRECONDITION")
    default_message = "The requested embedded data format does not match the deserializer for this consumer instance"


class Unauthenticated(FacadeError):
    """The caller gave no valid credentials."""

    codes = ErrorCodes(401, 401, 401, "UNAUTHENTICATED")
    default_message = "Unauthorized"


class KafkaAuthenticationFailed(Unauthenticated):
    """Kafka did not accept the credentials."""

    codes = ErrorCodes(40101, 40101, 401, "UNAUTHENTICATED")
    default_message = "Authentication failed"


class PermissionDenied(FacadeError):
    """The caller is not allowed to do this."""

    codes = ErrorCodes(403, 403, 403, "PERMISSION_DENIED")
    default_message = "Forbidden"


class KafkaAuthorizationFailed(PermissionDenied):
    """Kafka's authorizer rejected the request."""

    codes = ErrorCodes(40301, 40301, 403, "PERMISSION_DENIED")
    default_message = "Request is not authorized"


class OperationBlocked(PermissionDenied):
    """The access lists exclude the operation; REST hides it as the official proxy does (404 on GET, 405 otherwise)."""

    codes = ErrorCodes(404, 404, 404, "PERMISSION_DENIED")
    default_message = "The operation is not enabled on this server."


class NotFound(FacadeError):
    """No such resource, or no such path."""

    codes = ErrorCodes(404, 404, 404, "NOT_FOUND")
    default_message = "Not found"

    @property
    def message(self) -> str:
        """The message, with what was looked for."""
        sought = [f"{name} {value}" for name, value in self.metadata.items() if name != "field"]
        if self._message is None and sought:
            return f"{self.default_message}: {', '.join(sought)}"
        return super().message


class ClusterNotFound(NotFound):
    """The cluster id is not that of the cluster behind the gateway."""

    codes = ErrorCodes(404, 404, 404, "NOT_FOUND")
    default_message = "Cluster not found"

    @classmethod
    def of(cls, cluster_id: str) -> Self:
        """The error for a cluster that a caller named."""
        return cls(f"Cluster {quote(cluster_id)} cannot be found.", cluster_id=cluster_id)


class TopicNotFound(NotFound):
    """No such topic."""

    codes = ErrorCodes(40401, 40403, 404, "NOT_FOUND")
    default_message = "Topic not found"


class PartitionNotFound(NotFound):
    """The topic has no such partition."""

    codes = ErrorCodes(40402, 40402, 404, "NOT_FOUND")
    default_message = "Partition not found"


class ConsumerInstanceNotFound(NotFound):
    """No such consumer instance, or it has expired."""

    codes = ErrorCodes(40403, 40403, 404, "NOT_FOUND")
    default_message = "Consumer instance not found"


class ConsumerGroupNotFound(NotFound):
    """No such consumer group."""

    codes = ErrorCodes(40405, 404, 404, "NOT_FOUND")
    default_message = "Consumer group id not found"


class LeaderNotAvailable(NotFound):
    """The partition has no leader at the moment."""

    codes = ErrorCodes(40404, 40404, 404, "UNAVAILABLE", retriable=True)
    default_message = "Leader not available."


class BrokerNotRegistered(NotFound):
    """The broker id is not registered in the cluster."""

    codes = ErrorCodes(404102, 404102, 404, "NOT_FOUND")
    default_message = "The given broker ID was not registered in the cluster."


class MethodNotAllowed(FacadeError):
    """The path exists, but not with this HTTP method."""

    codes = ErrorCodes(405, 405, 405, "UNIMPLEMENTED")
    default_message = "HTTP 405 Method Not Allowed"


class Conflict(FacadeError):
    """The request contradicts the present state."""

    codes = ErrorCodes(409, 409, 409, "FAILED_PRECONDITION")
    default_message = "HTTP 409 Conflict"


class ConsumerAlreadyExists(Conflict):
    """The group has an instance of that name."""

    codes = ErrorCodes(40902, 40902, 409, "ALREADY_EXISTS")
    default_message = "Consumer with specified consumer ID already exists in the specified consumer group."


class IllegalConsumerState(Conflict):
    """The instance cannot do this as it is now: no assignment, or a subscription of another kind."""

    codes = ErrorCodes(40903, 40903, 409, "FAILED_PRECONDITION")
    default_message = "Illegal state: Subscription to topics, partitions and pattern are mutually exclusive"


class RecordTooLarge(Conflict):
    """The next record is larger than the caller takes; the position stays at it. ``size`` is in bytes."""

    default_message = "The next record is larger than the caller takes."


class SchemaLookupFailed(FacadeError):
    """The Schema Registry does not have a schema, or does not take it."""

    codes = ErrorCodes(40801, 50002, 408, "FAILED_PRECONDITION")
    default_message = "Schema registration or lookup failed"


class SchemaRegistryUnavailable(SchemaLookupFailed):
    """The Schema Registry gives no answer, or none that can be understood; it may have the schema."""

    codes = ErrorCodes(40801, 50002, 408, "UNAVAILABLE", retriable=True)


class DeserializationFailed(FacadeError):
    """A consumed record is not of the instance's format; the position stays at it."""

    codes = ErrorCodes(40801, 40801, 408, "DATA_LOSS")
    default_message = "Error deserializing a record."


class TooManyRequests(FacadeError):
    """A rate limit or a Kafka quota is used up."""

    codes = ErrorCodes(429, 429, 429, "RESOURCE_EXHAUSTED", retriable=True)
    default_message = "Too Many Requests"


class RequestTimeout(FacadeError):
    """The request took too long to arrive."""

    codes = ErrorCodes(408, 408, 408, "DEADLINE_EXCEEDED", retriable=True)
    default_message = "The request took too long to arrive."


class NotImplementedYet(FacadeError):
    """The operation is in the catalogue but not implemented."""

    codes = ErrorCodes(50101, 50101, 501, "UNIMPLEMENTED")
    default_message = "The operation is not implemented yet."


class ServerError(FacadeError):
    """An internal error that the caller cannot fix; details are in the server's log."""

    codes = ErrorCodes(500, 500, 500, "INTERNAL")
    default_message = "Internal Server Error"


class KafkaError(ServerError):
    """Kafka failed, and trying again will not help."""

    codes = ErrorCodes(50002, 50002, 500, "INTERNAL")
    default_message = "Kafka error"


class RetriableKafkaError(KafkaError):
    """Kafka failed; the same request may succeed later."""

    codes = ErrorCodes(50003, 50003, 500, "UNAVAILABLE", retriable=True)
    default_message = "Retriable Kafka error"


class KafkaTimeout(RetriableKafkaError):
    """Kafka did not answer within the request's deadline."""

    codes = ErrorCodes(50003, 50003, 500, "DEADLINE_EXCEEDED", retriable=True)
    default_message = "Timed out waiting for Kafka."


class StateUnusable(KafkaError):
    """The topic with the gateway's state would lose records, or only a newer gateway understands it."""

    default_message = "The state topic can't be used."

    @classmethod
    def newer(cls, topic: str, key: str, offset: int, version: int) -> Self:
        """The error for a record that a newer gateway wrote."""
        where = f"version {version} at offset {offset} (key {quote(key)})"
        return cls(f"The state topic {topic} has a record of {where}, which needs a newer gateway.", topic_name=topic)


class Unavailable(ServerError):
    """The gateway is shutting down, or has no room for the request."""

    codes = ErrorCodes(503, 503, 503, "UNAVAILABLE", retriable=True)
    default_message = "Service Unavailable"


def without_traceback(error: _Error) -> _Error:
    """Drop the traceback of an error that is kept: its frames refer to it, a cycle that needs garbage collection."""
    error.__context__ = error.__cause__ = None
    error.__suppress_context__ = True
    return error.with_traceback(None)
