"""The messages between workers: calls of operations on consumer instances and their outcomes, in MessagePack."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Record
from kafka_facade.core.registry import Registry

PATH = "/kafka_facade.Peers/Call"
HAND_OVER_PATH = "/kafka_facade.Peers/HandOver"
"""A stream: the call, its answer or error, and the caller's acknowledgement.

After the acknowledgement the stream ends, with an error if the operation has failed nevertheless.
"""
ACKNOWLEDGEMENT = b"\0"
PING_PATH = "/kafka_facade.Peers/Ping"
"""An empty message, which the event loop of the other worker answers with another."""

_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class _Call(msgspec.Struct, array_like=True):
    operation: str
    kind: str
    caller: Caller
    seconds: float
    request: msgspec.Raw


class MovedError(Exception):
    """The worker that got a call does not own the instance's slot, and has not run the call."""


class _Answer(msgspec.Struct, array_like=True, tag=True):
    value: msgspec.Raw


class _Failure(msgspec.Struct, array_like=True, tag=True):
    reason: str
    message: str | None
    metadata: dict[str, str]


class _Moved(msgspec.Struct, array_like=True, tag=True):
    pass


class _Fetched(msgspec.Struct, array_like=True):
    """A fetched record. Decoded keys and values are JSON, because MessagePack limits the size of numbers."""

    record: Record
    key: bytes | None
    value: bytes | None
    key_info: DataInfo | None
    value_info: DataInfo | None


_call_decoder = msgspec.msgpack.Decoder(_Call)
_outcome_decoder = msgspec.msgpack.Decoder(_Answer | _Failure | _Moved)
_fetched_decoder = msgspec.msgpack.Decoder(list[_Fetched])


MOVED: Final = _encode(_Moved())
"""The answer of a worker that does not own the slot: look for the owner again."""


class Wire:
    """Encodes and decodes calls of the operations of a registry.

    An operation is looked up by its identifier and the name of its request type, of which it may have several.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def encode_call(self, call: Call, request: Any) -> bytes:
        """Encode a call for another worker."""
        kind = type(request).__name__
        encoded = msgspec.Raw(_encode(request))
        return _encode(_Call(call.operation.identifier, kind, call.caller, call.remaining, encoded))

    def decode_call(self, payload: bytes) -> tuple[Call, Any]:
        """Return the call, with its caller and the caller's deadline, and the request."""
        decoded = _call_decoder.decode(payload)
        found = self._registry.named(decoded.operation, decoded.kind)
        request = msgspec.msgpack.decode(decoded.request, type=found.request)
        return Call(CATALOGUE[decoded.operation], decoded.caller, time.monotonic() + decoded.seconds), request

    def encode_answer(self, call: Call, request: Any, answer: Any) -> bytes:
        """Encode the result of the operation."""
        if self._answer_type(call, request) == list[FetchedRecord]:
            answer = [
                _Fetched(e.record, _data(e.key, e.record.key), _data(e.value, e.record.value), e.key_info, e.value_info)
                for e in answer
            ]
        return _encode(_Answer(msgspec.Raw(_encode(answer))))

    def decode_outcome(self, call: Call, request: Any, payload: bytes) -> Any:
        """Return the result of the operation. Raises its error, and MovedError."""
        outcome = _outcome_decoder.decode(payload)
        if isinstance(outcome, _Moved):
            raise MovedError
        if isinstance(outcome, _Failure):
            raise ERRORS_BY_REASON[outcome.reason](outcome.message, **outcome.metadata)
        answer_type = self._answer_type(call, request)
        if answer_type != list[FetchedRecord]:
            return msgspec.msgpack.decode(outcome.value, type=answer_type)
        return [
            FetchedRecord(
                e.record, _object(e.key, e.record.key), _object(e.value, e.record.value), e.key_info, e.value_info
            )
            for e in _fetched_decoder.decode(outcome.value)
        ]

    def _answer_type(self, call: Call, request: Any) -> Any:
        return self._registry.named(call.operation.identifier, type(request).__name__).answer


def encode_failure(error: FacadeError) -> bytes:
    """Encode the error of an operation."""
    return _encode(_Failure(error.reason, error.own_message, error.metadata))


def _data(data: object, payload: bytes | None) -> bytes | None:
    return None if data is payload else _encode_json(data)


def _object(data: bytes | None, payload: bytes | None) -> object:
    return payload if data is None else _decode_json(data)
