"""How an error looks in the REST API: ``{"error_code": ..., "message": ...}`` with a status."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from kafka_facade.core.errors import (
    FacadeError,
    MalformedBody,
    OperationBlocked,
    ServerError,
)

logger = logging.getLogger("kafka_facade.rest")

_SAFE_METHODS: Final = ("GET", "HEAD")
_encode = msgspec.json.Encoder().encode


class ClientDisconnected(Exception):
    """The caller is gone: there is nobody to answer."""


class ErrorBody(msgspec.Struct, gc=False):
    """The body of an error."""

    error_code: int
    message: str


def as_facade_error(error: Exception) -> FacadeError:
    """The error that the caller sees; what nobody foresaw is logged here, once, and shown as an internal error."""
    if isinstance(error, FacadeError):
        return error
    if isinstance(error, RecursionError):
        return MalformedBody("JSON is nested too deeply.")
    logger.error("unexpected error", exc_info=error)
    return ServerError()


def error_body(error: FacadeError, version: int) -> ErrorBody:
    """Code and message in a version (2 or 3) of the API."""
    return ErrorBody(error.row.v2 if version == 2 else error.row.v3, error.rest_message(version))


def error_response(error: FacadeError, version: int, method: str) -> tuple[int, bytes]:
    """Status and body. An operation that the access lists exclude looks as if it didn't exist."""
    if isinstance(error, OperationBlocked):
        if method in _SAFE_METHODS:
            return 404, _encode(ErrorBody(404, "HTTP 404 Not Found"))
        return 405, _encode(ErrorBody(405, "HTTP 405 Method Not Allowed"))
    return error.row.status, _encode(error_body(error, version))
