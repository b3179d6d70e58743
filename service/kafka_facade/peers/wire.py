"""The messages between workers: calls of operations on consumer instances and their outcomes, in MessagePack."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError
from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.long_values import LONG, LongJson
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, Record
from kafka_facade.core.registry import Registry
from kafka_facade.core.time_slices import time_slice

PATH = "/kafka_facade.Peers/Call"
HAND_OVER_PATH = "/kafka_facade.Peers/HandOver"
"""A stream: the call, its answer in messages of :meth:`Wire.pieces` or its error, and the caller's acknowledgement.

An error may replace what is left of the answer. After the acknowledgement the stream ends, with an error if the
operation has still failed.
"""
ACKNOWLEDGEMENT = b"\0"
PING_PATH = "/kafka_facade.Peers/Ping"
"""An empty message, which the event loop of the other worker answers with another."""

PIECE_BYTES: Final = 256 * 1024
"""Keys, values and headers that make up one message of an answer; encoding and sending it takes about 1 ms."""
_PIECE_RECORDS: Final = 500
# Longer messages, of a large record, are sent in parts.
_WHOLE_BYTES: Final = 4 * PIECE_BYTES
# How much JSON is decoded at once: a few milliseconds for the heaviest.
_JSON_BYTES: Final = 16 * 1024

_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_json = JsonDecoder().decode


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


class _Fetched(msgspec.Struct, array_like=True, gc=False):
    """A fetched record. Decoded keys and values are JSON, because MessagePack limits the size of numbers."""

    record: Record
    key: bytes | None
    value: bytes | None
    key_info: DataInfo | None
    value_info: DataInfo | None
    apart: int = 0
    """Which of the record's and the decoded keys and values were sent before, as bits."""


class _Records(msgspec.Struct, array_like=True, tag=True):
    """Some of the records of an answer. The last message has no ``more``."""

    records: list[_Fetched]
    more: bool


class _Part(msgspec.Struct, array_like=True, tag=True):
    """A part of a message that is too large for one piece. The last part has no ``more``."""

    data: bytes
    more: bool


class _Payload(msgspec.Struct, array_like=True, tag=True):
    """A part of a large key or value in the records of the next message. The last part has no ``more``."""

    data: bytes
    more: bool


_Outcome = _Answer | _Failure | _Moved | _Records | _Part | _Payload

_call_decoder = msgspec.msgpack.Decoder(_Call)
_outcome_decoder = msgspec.msgpack.Decoder(_Outcome)


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

    def encode_answer(self, answer: Any) -> bytes:
        """Encode the result of an operation that does not read records."""
        return _encode(_Answer(msgspec.Raw(_encode(answer))))

    async def pieces(self, call: Call, request: Any, answer: Any) -> AsyncGenerator[bytes, None]:
        """Yield the messages of the result of any operation, in time slices; :meth:`read_answer` reads them."""
        if self._answer_type(call, request) != list[FetchedRecord]:
            yield self.encode_answer(answer)
            return
        some: list[_Fetched] = []
        size = 0
        for left, fetched in zip(range(len(answer) - 1, -1, -1), answer, strict=True):
            if not some:
                await time_slice()
            entry = _to_wire(fetched)
            if _size(entry) > _WHOLE_BYTES:
                entry, payloads = _taken_apart(entry)
                for payload in payloads:
                    async for piece in _split(payload, _Payload):
                        yield piece
            some.append(entry)
            size += _size(entry)
            if size >= PIECE_BYTES or len(some) >= _PIECE_RECORDS or not left:
                async for piece in _parts(_encode(_Records(some, bool(left)))):
                    yield piece
                some, size = [], 0
        if not answer:
            yield _encode(_Records([], False))

    async def read_answer(self, call: Call, request: Any, read: Callable[[], Awaitable[bytes]]) -> Any:
        """Read the messages of a result, and return it. Raises the operation's error, MovedError, and those of read."""
        found: list[FetchedRecord] = []
        payloads: deque[bytes] = deque()
        while isinstance(outcome := await _whole(read, payloads), _Records):
            await _add(outcome.records, payloads, found)
            if not outcome.more:
                return found
        return self._result(call, request, outcome)

    def decode_outcome(self, call: Call, request: Any, payload: bytes) -> Any:
        """Return the result of an operation that does not read records. Raises its error, and MovedError."""
        return self._result(call, request, _outcome_decoder.decode(payload))

    def _result(self, call: Call, request: Any, outcome: _Outcome) -> Any:
        if isinstance(outcome, _Failure):
            raise ERRORS_BY_REASON[outcome.reason](outcome.message, **outcome.metadata)
        if not isinstance(outcome, _Answer):
            raise MovedError
        return msgspec.msgpack.decode(outcome.value, type=self._answer_type(call, request))

    def _answer_type(self, call: Call, request: Any) -> Any:
        return self._registry.named(call.operation.identifier, type(request).__name__).answer


def encode_failure(error: FacadeError) -> bytes:
    """Encode the error of an operation."""
    return _encode(_Failure(error.reason, error.own_message, error.metadata))


async def _parts(message: bytes) -> AsyncGenerator[bytes, None]:
    """Yield a message; one with a large record in parts."""
    if len(message) <= _WHOLE_BYTES:
        yield message
        return
    async for piece in _split(message, _Part):
        yield piece


async def _split(data: bytes, kind: type[_Part | _Payload]) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), PIECE_BYTES):
        await time_slice()
        end = start + PIECE_BYTES
        yield _encode(kind(data[start:end], end < len(data)))


async def _whole(read: Callable[[], Awaitable[bytes]], payloads: deque[bytes]) -> _Outcome:
    """Read a message, which may come in parts, and decode it. Append the payloads that precede it."""
    parts: list[bytes] = []
    message = await read()
    while True:
        await time_slice()
        outcome = _outcome_decoder.decode(message)
        if not isinstance(outcome, _Part | _Payload):
            return outcome
        parts.append(outcome.data)
        if outcome.more:
            message = await read()
            continue
        # Joining much does not hold the interpreter lock.
        whole = await asyncio.to_thread(b"".join, parts)
        parts = []
        if isinstance(outcome, _Payload):
            payloads.append(whole)
            message = await read()
        else:
            message = whole


async def _add(records: list[_Fetched], payloads: deque[bytes], found: list[FetchedRecord]) -> None:
    """Append records, with what they have as JSON decoded."""
    room = 0
    for entry in records:
        if entry.apart:
            _put_together(entry, payloads)
        room -= len(entry.key or b"") + len(entry.value or b"")
        if room < 0:
            await time_slice()
            room = _JSON_BYTES
        record = entry.record
        key = _object(entry.key, record.key, entry.key_info)
        value = _object(entry.value, record.value, entry.value_info)
        found.append(FetchedRecord(record, key, value, entry.key_info, entry.value_info))


def _to_wire(fetched: FetchedRecord) -> _Fetched:
    record = fetched.record
    key = _data(fetched.key, record.key, fetched.key_info)
    value = _data(fetched.value, record.value, fetched.value_info)
    return _Fetched(record, key, value, fetched.key_info, fetched.value_info)


def _taken_apart(entry: _Fetched) -> tuple[_Fetched, list[bytes]]:
    """Return a copy without large keys and values, and these: encoding would copy them several times."""
    entry = msgspec.structs.replace(entry, record=msgspec.structs.replace(entry.record))
    payloads = []
    for number, (holder, name) in enumerate(_places(entry)):
        payload = getattr(holder, name)
        if payload is not None and len(payload) > PIECE_BYTES:
            payloads.append(payload)
            setattr(holder, name, None)
            entry.apart |= 1 << number
    return entry, payloads


def _put_together(entry: _Fetched, payloads: deque[bytes]) -> None:
    for number, (holder, name) in enumerate(_places(entry)):
        if entry.apart & 1 << number:
            setattr(holder, name, payloads.popleft())


def _places(entry: _Fetched) -> Sequence[tuple[Record | _Fetched, str]]:
    """Return where the keys and values of a record are, in the order of the bits of ``apart``."""
    return (entry.record, "key"), (entry.record, "value"), (entry, "key"), (entry, "value")


def _size(entry: _Fetched) -> int:
    record = entry.record
    size = sum(len(data) for data in (entry.key, entry.value, record.key, record.value) if data is not None)
    return size + sum(len(header.name) + len(header.value or b"") for header in record.headers)


def _data(data: object, payload: bytes | None, info: DataInfo | None) -> bytes | None:
    """Return the JSON of a decoded key or value; None if it follows from the payload."""
    if isinstance(data, LongJson):
        return data.text
    return None if data is payload or _is_text(data, info) else _encode_json(data)


def _is_text(data: object, info: DataInfo | None) -> bool:
    """Return whether decoded data is the payload's text; in JSON it may be several times as long."""
    return isinstance(data, str) and info is not None and info.format is Format.STRING


def _object(data: bytes | None, payload: bytes | None, info: DataInfo | None) -> object:
    if data is not None:
        return LongJson(data) if len(data) > LONG else _decode_json(data)
    is_text = payload is not None and info is not None and info.format is Format.STRING and info.error is None
    return payload.decode() if payload is not None and is_text else payload
