"""Decoding of keys and values; all faces decode records through this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from cachetools import TTLCache

from kafka_facade.core.errors import (
    DeserializationFailed,
    FacadeError,
    InvalidSchema,
    PayloadTooLarge,
    SchemaLookupFailed,
)
from kafka_facade.core.quoting import showable
from kafka_facade.core.records import json_text
from kafka_facade.core.records.decoding_budget import json_weight, too_large_at_once
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, ReadFormats, Record
from kafka_facade.core.records.schemas import SCHEMA_FORMATS, NoSchemaId, Schemas, id_in
from kafka_facade.core.records.serialization import deserialize

_T = TypeVar("_T")

# How long (s) large JSON waits for a thread: all of an answer may be decoded one after the other.
_THREAD_SECONDS: Final = 30.0
# Timeout (s) for loading a schema that a record needs.
_SCHEMA_SECONDS: Final = 5.0
# Data may look like a schema id by chance, so cache for this long (s) which ids the registry does not have.
_UNKNOWN_SECONDS: Final = 10.0
_UNKNOWN_IDS: Final = 10_000
_LONGEST_ERROR: Final = 500
# Decode JSON up to this many bytes without checking the time slice; it takes less than 0.1 ms.
_SMALL_JSON: Final = 256
_NOT_FOUND: Final = "404"
TOO_HEAVY: Final = "the JSON has more objects, arrays and members than can be read at once"
"""Why JSON that is too large at once is not decoded."""


def together(format: Format, records: Sequence[Record]) -> tuple[list[FetchedRecord], int]:
    """Decode leading records like :meth:`Decoding.strictly`, without awaiting; also return a weight bound.

    Stops before a record that cannot be decoded. Does not support formats with schemas.
    """
    if format is Format.BINARY:
        return [FetchedRecord(record, record.key, record.value) for record in records], 0
    decoded: list[FetchedRecord] = []
    if format is not Format.JSON:
        return decoded, 0
    try:
        for record in records:
            key, value = record.key, record.value
            decoded.append(
                FetchedRecord(
                    record,
                    None if key is None else json_text.decode(key),
                    None if value is None else json_text.decode(value),
                )
            )
    except ValueError:
        pass
    payloads = [payload for record in records for payload in (record.key, record.value) if payload]
    return decoded, json_weight(b"".join(payloads))


def has_schema_id(payload: bytes) -> bool:
    """Return whether the bytes start with what can be a schema id; no others need the registry."""
    try:
        id_in(payload)
    except NoSchemaId:
        return False
    return True


class Decoding:
    """Decodes keys and values."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._unknown: TTLCache[int, str] = TTLCache(_UNKNOWN_IDS, _UNKNOWN_SECONDS)

    def knows_schema(self, payload: bytes) -> bool:
        """Return whether bytes with a schema id can be decoded without asking the registry for the schema."""
        return self._schemas.knows(payload)

    async def strictly(self, format: Format, record: Record) -> FetchedRecord:
        """Decode key and value in one format. Raises DeserializationFailed if the bytes are invalid.

        Other errors are temporary or the gateway's: Unavailable, SchemaRegistryUnavailable, and
        KafkaAuthorizationFailed if the registry rejects the gateway.
        """
        fetched = FetchedRecord(record, None, None)
        for which in ("key", "value"):
            payload: bytes | None = getattr(record, which)
            if payload is None:
                continue
            try:
                if format in SCHEMA_FORMATS:
                    data, _, weight = await self._schemas.decode(payload, _SCHEMA_SECONDS, format)
                else:
                    data, weight = await self._plain(format, payload)
                fetched.weight += weight
            except (FacadeError, ValueError, RecursionError) as error:
                if _undecodable(error):
                    raise _failed(record, which, str(error)) from None
                if isinstance(error, SchemaLookupFailed):
                    raise type(error)(_failed(record, which, str(error)).message, **error.metadata) from None
                raise
            setattr(fetched, which, data)
        return fetched

    async def record(self, formats: ReadFormats, record: Record) -> FetchedRecord:
        """Decode key and value, each in its own format, with information on each (see :meth:`data`)."""
        fetched = FetchedRecord(record, None, None)
        if record.key is not None:
            fetched.key, fetched.key_info = await self.data(formats.key, record.key, record.topic_name, "key")
        if record.value is not None:
            fetched.value, fetched.value_info = await self.data(formats.value, record.value, record.topic_name, "value")
        fetched.weight = sum(info.weight for info in (fetched.key_info, fetched.value_info) if info is not None)
        return fetched

    async def data(
        self, format: Format | None, payload: bytes, topic: str, which: str, *, with_subject: bool = True
    ) -> tuple[object, DataInfo]:
        """Decode bytes and return the data with information on it. The registry is asked for the schema's subject.

        BINARY returns the bytes, STRING a text, and all other formats a JSON value. Without a format, the schema id at
        the start of the bytes determines it; bytes without one are BINARY. If the bytes are invalid, the data is None
        and the info's ``error`` says why. Raises FacadeError if a retry may succeed, such as when the registry does not
        answer.
        """
        if format is Format.JSON and await too_large_at_once(payload):
            return None, DataInfo(format, error=TOO_HEAVY)
        if format is not None and format not in SCHEMA_FORMATS:
            try:
                data, weight = await self._plain(format, payload)
                return data, DataInfo(format, weight=weight)
            except ValueError as error:
                return None, DataInfo(format, error=_why(error))
        try:
            schema_id = id_in(payload)
        except NoSchemaId as error:
            if format is None:
                return payload, DataInfo(Format.BINARY)
            return None, DataInfo(format, error=str(error))
        info = DataInfo(format or Format.BINARY, schema_id)
        info.error = "there is no such schema" if schema_id < 1 else self._unknown.get(schema_id)
        if info.error is not None:
            return None, info
        try:
            data, info.format, info.weight = await self._schemas.decode(payload, _SCHEMA_SECONDS, format)
        except (FacadeError, ValueError, RecursionError) as error:
            if not _undecodable(error):
                raise
            info.error = _why(error)
            if isinstance(error, SchemaLookupFailed):
                self._unknown[schema_id] = info.error
        if info.error is not None:
            return None, info
        if with_subject:
            info.subject = await self._schemas.subject_of(topic, which, schema_id, _SCHEMA_SECONDS)
        return data, info

    async def read_json(self, payload: bytes, read: Callable[[bytes], _T]) -> _T:
        """Parse JSON with ``read``, in a thread if it is large. Raises ValueError if it would become too large."""
        try:
            return await self._schemas.read_json(read, payload, _THREAD_SECONDS)
        except PayloadTooLarge:
            raise ValueError(TOO_HEAVY) from None

    async def _plain(self, format: Format, payload: bytes) -> tuple[object, int]:
        """Decode a format without a schema; return the data and its weight. Raises ValueError."""
        if format is Format.JSON:
            if len(payload) <= _SMALL_JSON:
                return json_text.decode(payload), json_weight(payload)
            return await self._schemas.decode_json(payload, _SCHEMA_SECONDS)
        return deserialize(format, payload), 0


def _undecodable(error: Exception) -> bool:
    """Return whether the record is invalid, as opposed to a busy gateway or an unavailable registry."""
    if isinstance(error, SchemaLookupFailed):
        return error.metadata.get("registry_status") == _NOT_FOUND
    return isinstance(error, InvalidSchema) or not isinstance(error, FacadeError)


def _why(error: Exception) -> str:
    """Return an error's text, truncated and encodable, since it may quote a record or the registry."""
    return showable(str(error)[:_LONGEST_ERROR])


def _failed(record: Record, which: str, why: str) -> DeserializationFailed:
    return DeserializationFailed(
        f"Error deserializing {which.upper()} for partition {record.topic_name}-{record.partition_id} at "
        f"offset {record.offset}: {why}. If needed, please seek past the record to continue consumption.",
        topic=record.topic_name,
        partition=str(record.partition_id),
        offset=str(record.offset),
    )
