"""Conversion of errors to a gRPC status with details (AIP-193, google/rpc/error_details.proto)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kafka_facade.core.errors import FacadeError, ServerError
from kafka_facade.core.outcome import CallerGone
from kafka_facade.rpc.names import spell

DOMAIN = "kafka-facade"

logger = logging.getLogger("kafka_facade.rpc")

_RETRY_DELAY = Duration(nanos=500_000_000)
_DETAILS_KEY = "grpc-status-details-bin"
# Details are sent in a trailer, and clients accept 8 KiB of metadata by default, so echoed text is truncated (bytes).
_LONGEST_MESSAGE = 1024
_LONGEST_VALUE = 256
_CODES = {code.name: code for code in grpc.StatusCode}


def to_status(error: FacadeError, request: Message | None = None) -> Status:
    """Return a status with an ErrorInfo, a BadRequest if a field is invalid, and a RetryInfo if a retry may help.

    The path of the field uses the names of ``request``. ``ErrorInfo.reason`` is the error's reason; its metadata is the
    error's, plus the REST API's ``error_code``.
    """
    codes = error.codes
    message = _cut(error.message, _LONGEST_MESSAGE)
    status = Status(code=code_pb2.Code.Value(codes.grpc), message=message)
    field = error.field
    metadata = error.metadata
    if field is not None:
        field = spell(field, request)
        metadata = metadata | {"field": field}
    about = {name: _cut(value, _LONGEST_VALUE) for name, value in metadata.items()}
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata={**about, "error_code": str(codes.v3)})
    status.details.add().Pack(info)
    if field is not None:
        violation = BadRequest.FieldViolation(field=_cut(field, _LONGEST_VALUE), description=message)
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    if codes.retriable:
        status.details.add().Pack(RetryInfo(retry_delay=_RETRY_DELAY))
    return status


def to_brief_status(error: FacadeError) -> Status:
    """Return a status with only the code and the reason."""
    status = Status(code=code_pb2.Code.Value(error.codes.grpc))
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=DOMAIN))
    return status


def _cut(text: str, limit: int) -> str:
    """Truncate a text to ``limit`` bytes of UTF-8."""
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore") + "..."


class CallerGoneError(CallerGone):
    """A response could not be written: the caller has cancelled, or its deadline has passed."""


@contextmanager
def writing() -> Iterator[None]:
    """Raise CallerGoneError if what is written in the block cannot be written."""
    try:
        yield
    except grpc.aio.BaseError:
        raise CallerGoneError from None


async def abort(
    context: grpc.aio.ServicerContext[Any, Any], error: FacadeError, request: Message | None = None
) -> NoReturn:
    """Abort the RPC with the error."""
    status = to_status(error, request)
    await _abort(context, _CODES[error.codes.grpc], status.message, ((_DETAILS_KEY, status.SerializeToString()),))


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any],
    code: grpc.StatusCode,
    message: str = "",
    metadata: tuple[tuple[str, bytes], ...] = (),
) -> NoReturn:
    try:
        await context.abort(code, message, trailing_metadata=metadata)
    except grpc.aio.InternalError:
        # The caller left before this task was cancelled for it; gRPC would log that as an error.
        raise asyncio.CancelledError from None


@asynccontextmanager
async def reporting(
    context: grpc.aio.ServicerContext[Any, Any], request: Message | FacadeError | None = None
) -> AsyncIterator[None]:
    """Abort the RPC with any error raised in the block. The request may be the error with which it was decoded.

    Unexpected exceptions are logged; the caller only sees INTERNAL. A handler that ends without a status would
    leave a caller waiting, so CallerGoneError is answered with CANCELLED.
    """
    try:
        yield
    except FacadeError as error:
        # Its frames refer to the error, and to the request.
        failure: FacadeError = error.with_traceback(None)
    except grpc.aio.AbortError:
        raise
    except CallerGoneError:
        await _abort(context, grpc.StatusCode.CANCELLED)
    except Exception:
        logger.exception("a call failed unexpectedly")
        failure = ServerError()
    else:
        return
    await abort(context, failure, None if isinstance(request, FacadeError) else request)
