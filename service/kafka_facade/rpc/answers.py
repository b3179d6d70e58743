"""Answers stay under the size that clients take (4 MiB by default): what a client refuses is lost to it."""

from __future__ import annotations

from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from kafka_facade.core.errors import FacadeError, PayloadTooLarge
from kafka_facade.rpc.errors import to_brief_status, to_status

# Tags and lengths around one entry of an answer, in bytes.
_AROUND = 16
# No status with details is smaller, and no brief one: where less is left none is made, which takes long for many.
_LEAST_DETAILED = 96
_LEAST_BRIEF = 64


class Room:
    """The room for the results of ``count`` records, of which each needs ``each`` bytes where all goes well.

    Errors blame fields as ``request`` has them. PayloadTooLarge, before anything is produced, where the results can't
    all fit into ``limit`` bytes.
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
        """Whether there is room for this result; if so, it is taken."""
        size = result.ByteSize()
        if not self._has(size):
            return False
        self._spare -= max(0, size + _AROUND - self._each)
        return True

    def _has(self, size: int) -> bool:
        return size + _AROUND - self._each <= self._spare

    def status(self, error: FacadeError) -> Status:
        """The error with as many details as there is room for; its code always."""
        if self._has(_LEAST_DETAILED) and self.takes(detailed := to_status(error, self._request)):
            return detailed
        if self._has(_LEAST_BRIEF) and self.takes(brief := to_brief_status(error)):
            return brief
        return Status(code=Code.Value(error.codes.grpc))
