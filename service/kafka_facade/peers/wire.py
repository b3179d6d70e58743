"""What one worker tells another: a call of a placed operation, and its answer or its error, in MessagePack."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError
from kafka_facade.core.instances.placement import types_of
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Record

PATH = "/kafka_facade.Peers/Call"
HAND_OVER_PATH = "/kafka_facade.Peers/HandOver"
"""A stream: the call, its answer, and the acknowledgement of who has it now; an error may stand in for the answer.

After the acknowledgement the stream ends, or says what has failed nevertheless.
"""
ACKNOWLEDGEMENT = b"\0"

_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class _Call(msgspec.Struct, array_like=True):
    method: str
    operation: str
    caller: Caller
    seconds: float
    request: msgspec.Raw


class _Answer(msgspec.Struct, array_like=True, tag=True):
    value: msgspec.Raw


class _Failure(msgspec.Struct, array_like=True, tag=True):
    reason: str
    message: str | None
    metadata: dict[str, str]


class _Fetched(msgspec.Struct, array_like=True):
    """A fetched record; a key or value that isn't the payload itself is JSON, which has numbers of any size."""

    record: Record
    key: bytes | None
    value: bytes | None
    key_info: DataInfo | None
    value_info: DataInfo | None


_call_decoder = msgspec.msgpack.Decoder(_Call)
_outcome_decoder = msgspec.msgpack.Decoder(_Answer | _Failure)
_fetched_decoder = msgspec.msgpack.Decoder(list[_Fetched])


def encode_call(method: str, call: Call, request: Any) -> bytes:
    """A call for another worker."""
    return _encode(_Call(method, call.operation.identifier, call.caller, call.remaining, msgspec.Raw(_encode(request))))


def decode_call(payload: bytes) -> tuple[str, Call, Any]:
    """The placed operation's name, the call with its caller and the caller's deadline, and the request."""
    decoded = _call_decoder.decode(payload)
    request = msgspec.msgpack.decode(decoded.request, type=types_of(decoded.method)[0])
    call = Call(CATALOGUE[decoded.operation], decoded.caller, time.monotonic() + decoded.seconds)
    return decoded.method, call, request


def encode_answer(method: str, answer: Any) -> bytes:
    """What a placed operation has returned."""
    if types_of(method)[1] == list[FetchedRecord]:
        answer = [
            _Fetched(e.record, _data(e.key, e.record.key), _data(e.value, e.record.value), e.key_info, e.value_info)
            for e in answer
        ]
    return _encode(_Answer(msgspec.Raw(_encode(answer))))


def encode_failure(error: FacadeError) -> bytes:
    """The error of a placed operation."""
    return _encode(_Failure(error.reason, error.own_message, error.metadata))


def decode_outcome(method: str, payload: bytes) -> Any:
    """What the operation has returned; its error is raised."""
    outcome = _outcome_decoder.decode(payload)
    if isinstance(outcome, _Failure):
        raise ERRORS_BY_REASON[outcome.reason](outcome.message, **outcome.metadata)
    answer_type = types_of(method)[1]
    if answer_type != list[FetchedRecord]:
        return msgspec.msgpack.decode(outcome.value, type=answer_type)
    return [
        FetchedRecord(
            e.record, _object(e.key, e.record.key), _object(e.value, e.record.value), e.key_info, e.value_info
        )
        for e in _fetched_decoder.decode(outcome.value)
    ]


def _data(data: object, payload: bytes | None) -> bytes | None:
    return None if data is payload else _encode_json(data)


def _object(data: bytes | None, payload: bytes | None) -> object:
    return payload if data is None else _decode_json(data)
