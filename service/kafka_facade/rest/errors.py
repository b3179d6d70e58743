"""Encoding of errors in the REST API: ``{"error_code": ..., "message": ...}`` with a status."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from kafka_facade.core.errors import (
    BrokerNotRegistered,
    ConsumerGroupNotFound,
    ConsumerInstanceNotFound,
    FacadeError,
    InvalidSchema,
    LeaderNotAvailable,
    MalformedBody,
    NotFound,
    OperationBlocked,
    PartitionNotFound,
    ServerError,
    TopicNotFound,
    without_traceback,
)

logger = logging.getLogger("kafka_facade.rest")

_SAFE_METHODS: Final = ("GET", "HEAD")
_NOT_FOUND: Final = "HTTP 404 Not Found"
_METHOD_NOT_ALLOWED: Final = "HTTP 405 Method Not Allowed"

# Default messages of v2 and v3 that differ from the core's, for errors without a message of their own. They also apply
# to subclasses without an entry.
_TEXTS: Final[dict[type[FacadeError], dict[int, str]]] = {
    NotFound: {2: _NOT_FOUND, 3: _NOT_FOUND},
    TopicNotFound: {2: "Topic not found.", 3: "This server does not host this topic-partition."},
    PartitionNotFound: {2: "Partition not found.", 3: "Partition not found."},
    ConsumerInstanceNotFound: {2: "Consumer instance not found."},
    ConsumerGroupNotFound: {2: "Consumer group id not found.", 3: _NOT_FOUND},
    LeaderNotAvailable: {},
    BrokerNotRegistered: {},
}
_encode = msgspec.json.Encoder().encode


class ErrorBody(msgspec.Struct, gc=False):
    """The body of an error."""

    error_code: int
    message: str


def as_facade_error(error: Exception) -> FacadeError:
    """Return the error to show to the caller. An unexpected exception is logged and shown as an internal error."""
    if isinstance(error, FacadeError):
        return without_traceback(error)
    if isinstance(error, RecursionError):
        return MalformedBody("JSON is nested too deeply.")
    logger.error("unexpected error", exc_info=error)
    return ServerError()


def error_message(error: FacadeError, version: int) -> str:
    """Return the message in a version (2 or 3) of the API."""
    if isinstance(error, InvalidSchema) and version == 3:
        return f"Error: {error.codes.v2} : {error.message}"
    if error.own_message is None:
        for kind in type(error).__mro__:
            if kind in _TEXTS:
                return _TEXTS[kind].get(version, error.message)
    return error.message


def error_body(error: FacadeError, version: int) -> ErrorBody:
    """Return code and message in a version (2 or 3) of the API."""
    return ErrorBody(error.codes.v2 if version == 2 else error.codes.v3, error_message(error, version))


def error_response(error: FacadeError, version: int, method: str) -> tuple[int, bytes]:
    """Return status and body. An operation that the access lists block appears not to exist."""
    if isinstance(error, OperationBlocked):
        if method in _SAFE_METHODS:
            return 404, _encode(ErrorBody(404, _NOT_FOUND))
        return 405, _encode(ErrorBody(405, _METHOD_NOT_ALLOWED))
    body = error_body(error, version)
    if version == 3 and isinstance(error, PartitionNotFound):
        # v3 has a specific code for the partition of a record, but only 404 for a partition in the path.
        body = ErrorBody(404, _NOT_FOUND if error.own_message is None else error.message)
    return error.codes.status, _encode(body)
