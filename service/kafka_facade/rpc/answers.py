"""Keeps responses below the size that clients accept (4 MiB by default): a client discards a larger one."""

from __future__ import annotations

from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from kafka_facade.core.errors import FacadeError, PayloadTooLarge
from kafka_facade.rpc.errors import to_brief_status, to_status

# Tags and lengths around one entry of an answer, in bytes.
_AROUND = 16
# Lower bounds of the size of a status with full details and with a reason only. With less space left, none is built,
# because building many statuses is slow.
_LEAST_DETAILED = 96
_LEAST_BRIEF = 64


class Room:
    """The size budget of a response with the results of ``count`` records, each of ``each`` bytes if it succeeds.

    Paths of fields in errors follow ``request``. Raises PayloadTooLarge if the results cannot fit into ``limit`` bytes;
    create it before producing anything.
    """

    def __init__(self, limit: int, count: int, each: int, request: Message | None = None) -> None:
        self._request = request
        self._each = each
        self._spare = limit - _AROUND - count * each
        if self._spare < 0:
            raise PayloadTooLarge(
                f"The results of {count} records need more than the {limit} bytes of an answer: send at most "
                f"{(limit - _AROUND) // each} records in one message."
            )

    def takes(self, result: Message) -> bool:
        """Reserve space for a result; return whether it fits."""
        size = result.ByteSize()
        if not self._has(size):
            return False
        self._spare -= max(0, size + _AROUND - self._each)
        return True

    def _has(self, size: int) -> bool:
        return size + _AROUND - self._each <= self._spare

    def status(self, error: FacadeError) -> Status:
        """Return the error with as many details as fit; at least its code."""
        if self._has(_LEAST_DETAILED) and self.takes(detailed := to_status(error, self._request)):
            return detailed
        if self._has(_LEAST_BRIEF) and self.takes(brief := to_brief_status(error)):
            return brief
        return Status(code=Code.Value(error.codes.grpc))
