"""Records in the graph; keys, values and headers can be read as base64, text, JSON or decoded by schema."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Generator
from datetime import datetime
from typing import Any, cast

import msgspec
import strawberry
from msgspec import structs

from kafka_facade.core.errors import DeserializationFailed, FacadeError
from kafka_facade.core.limits import RECORDS_WEIGHT
from kafka_facade.core.records import json_text
from kafka_facade.core.records import model as core_records
from kafka_facade.core.records.decoding import has_schema_id
from kafka_facade.core.records.decoding_budget import BudgetExceeded, weighs_more
from kafka_facade.core.records.long_values import LONG, LongText, long_text, marked
from kafka_facade.core.time_slices import time_slice
from kafka_facade_graphql.context import Context, Info, current_decoding
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.resource import plain, resource
from kafka_facade_graphql.scalars import JSON, Base64, BigInt, from_millis

Format = strawberry.enum(core_records.Format, description="The format of a key or a value.")


# JSON of a greater weight is decoded in a time slice of its own: a record may have a hundred headers in one piece.
_AT_ONCE_WEIGHT = 32 * 1024

_DECODED = (
    "Its {}, decoded with the Schema Registry: the schema is the one whose id is in the first bytes. Null without a "
    "schema id; an error if the registry is unavailable."
)


@strawberry.type(description="Bytes of a record, in several representations.")
class Content:
    """The bytes of a key, value or header."""

    data: strawberry.Private[bytes]

    @field(description="The bytes in base64.")
    def base64(self) -> Base64:
        return Base64(self.data)

    @field(description="The bytes as text; null if they are not UTF-8; an error if they are too large.")
    def text(self) -> str | None:
        if len(self.data) > LONG:
            return cast(str, _LaterText(self.data))
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None

    @field(
        description="The bytes as a JSON value; null if they are not JSON; an error if JSON cannot represent them, or "
        "if they are too large."
    )
    def json(self) -> JSON | None:
        return cast(JSON, _LaterJson(self.data)) if weighs_more(self.data, _AT_ONCE_WEIGHT) else _json(self.data)

    @field(description="The number of bytes.")
    def size(self) -> int:
        return len(self.data)


class _Later:
    """An awaitable that decodes data; unlike a coroutine, it may be dropped without being awaited."""

    def __init__(self, data: bytes | str) -> None:
        self._data = data

    def __await__(self) -> Generator[Any, None, object]:
        return self._decode().__await__()

    async def _decode(self) -> object:
        raise NotImplementedError


class _LaterText(_Later):
    """A long text, which is weighed first: in JSON it may be six times as long."""

    async def _decode(self) -> LongText | None:
        try:
            return await asyncio.to_thread(long_text, self._data)
        except BudgetExceeded as error:
            raise DeserializationFailed(f"The text can't be shown: {error}.") from None


class _LaterJson(_Later):
    """JSON of some weight."""

    _data: bytes

    async def _decode(self) -> object:
        await time_slice()
        try:
            return await current_decoding().read_json(self._data, _json)
        except ValueError as error:
            raise DeserializationFailed(f"The JSON can't be shown: {error}.") from None


def _json(data: bytes) -> JSON | None:
    """Decode bytes as JSON; None if they are not JSON. Raises DeserializationFailed if a response cannot contain it."""
    try:
        json_text.decode(data)
        # Keep the text, to keep all digits of its numbers.
        return JSON(msgspec.Raw(msgspec.json.format(data, indent=-1)))
    except json_text.Unshowable as error:
        raise DeserializationFailed(f"The bytes can't be represented as JSON: {error}.") from None
    except ValueError:
        return None


def _content(data: bytes | None) -> Content | None:
    return None if data is None else Content(data=data)


@resource(
    description="A header of a record; several headers may have the same name.", fields={"name": "The header's name."}
)
class Header(plain(core_records.Header)):  # type: ignore[misc]
    """A record header."""

    @field(name="value", description="The header's value; null if it has none.")
    def content(self) -> Content | None:
        return _content(self.value)


@resource(
    description="The format and schema of a decoded key or value.",
    fields={
        "format": "Its format.",
        "schema_id": "The id of its schema; null if it has none.",
        "subject": "A subject that has the schema; null if it has none.",
        "error": "The reason why the bytes could not be decoded; null if they were.",
    },
)
class DataInfo(plain(core_records.DataInfo)):  # type: ignore[misc]
    """The format and the schema of a key or value."""


@strawberry.type(description="A key or value decoded with its schema.")
class Decoded:
    """Data with its schema."""

    value: strawberry.Private[object]
    about: strawberry.Private[core_records.DataInfo]

    @field(description="The data; null if it could not be decoded.")
    def data(self) -> JSON | None:
        return _data(self.value)

    @field(description="Its format and schema, or its error.", graphql_type=DataInfo)
    def info(self) -> core_records.DataInfo:
        return self.about


async def _decoded(context: Context, record: core_records.Record, which: str) -> Decoded | None:
    """Decode a key or value with the schema id that it starts with; None if it has none.

    Raises FacadeError if it cannot be decoded now.
    """
    payload: bytes | None = getattr(record, which)
    if payload is None or not has_schema_id(payload):
        return None
    # Decode one at a time: all records of a response may need the same schema, which is then loaded once.
    async with context.decoding:
        if context.decoded_weight >= RECORDS_WEIGHT:
            return Decoded(
                value=None,
                about=core_records.DataInfo(
                    core_records.Format.BINARY, error="the response is too large for the decoded data"
                ),
            )
        decoding = context.core.decoding
        if (failure := context.decoding_failure) is not None and not (
            context.lookup_failed and decoding.knows_schema(payload)
        ):
            # Reuse the failure, or each of the others would wait for as long.
            raise type(failure)(failure.message, **failure.metadata)
        try:
            data, info = await decoding.data(
                None, payload, record.topic_name, which, with_subject=not context.lookup_failed
            )
        except FacadeError as error:
            context.decoding_failure = error
            context.lookup_failed = not decoding.knows_schema(payload)
            raise
        context.decoded_weight += info.weight
    return Decoded(value=data, about=info)


@resource(
    description="A record as stored in Kafka.",
    fields={"topic_name": "The topic's name.", "partition_id": "The partition that holds it."},
)
class Record(plain(core_records.Record)):  # type: ignore[misc]
    """A record; the same type in subscriptions and in what consumer instances fetch."""

    offset: BigInt = strawberry.field(description="Its offset in the partition.")

    @field(name="timestamp", description="The creation or append time; null if the record has none.")
    def time(self) -> datetime | None:
        return from_millis(self.timestamp)

    @field(name="headers", description="Its headers, in order.", graphql_type=list[Header])
    def all_headers(self) -> list[core_records.Header]:
        headers: list[core_records.Header] = self.headers
        return headers

    @field(name="key", description="Its key; null if it has none.")
    def key_content(self) -> Content | None:
        return _content(self.key)

    @field(name="value", description="Its value; null is a tombstone in a compacted topic.")
    def value_content(self) -> Content | None:
        return _content(self.value)

    @field(name="decodedKey", description=_DECODED.format("key"), graphql_type=Decoded | None)
    async def key_by_schema(self, info: Info) -> Decoded | None:
        return await _decoded(info.context, self, "key")

    @field(name="decodedValue", description=_DECODED.format("value"), graphql_type=Decoded | None)
    async def value_by_schema(self, info: Info) -> Decoded | None:
        return await _decoded(info.context, self, "value")


class Unshown(core_records.FetchedRecord, kw_only=True, gc=False):
    """A fetched record whose fields the response cannot have."""

    why: FacadeError

    @classmethod
    def of(cls, fetched: core_records.FetchedRecord, why: FacadeError) -> Unshown:
        """Take the place of a fetched record."""
        return cls(**structs.asdict(fetched), why=why)


@resource(description="A record that a consumer instance has fetched, decoded.")
class FetchedRecord(plain(core_records.FetchedRecord)):  # type: ignore[misc]
    """What a fetch returns for each record."""

    @field(
        name="record",
        description="The record as stored in Kafka; null, with an error, if it alone has too many objects.",
        graphql_type=Record | None,
    )
    def held(self) -> core_records.Record | None:
        if isinstance(self, Unshown):
            raise self.why
        record: core_records.Record = self.record
        return record

    @field(name="key", description="The key in its format; BINARY is base64 text; null if it cannot be decoded.")
    def key_data(self) -> JSON | None:
        return _data(self.key)

    @field(name="value", description="The value in its format; BINARY is base64 text; null if it cannot be decoded.")
    def value_data(self) -> JSON | None:
        return _data(self.value)

    @field(name="keyInfo", description="The key's format and schema; null without a key.", graphql_type=DataInfo | None)
    def about_key(self) -> core_records.DataInfo | None:
        found: core_records.DataInfo | None = self.key_info
        return found

    @field(
        name="valueInfo",
        description="The value's format and schema; null without a value.",
        graphql_type=DataInfo | None,
    )
    def about_value(self) -> core_records.DataInfo | None:
        found: core_records.DataInfo | None = self.value_info
        return found


def _data(value: Any) -> JSON | None:
    if isinstance(value, bytes):
        long = marked(value)
        return JSON(b64encode(value).decode() if long is value else long)
    if isinstance(value, str) and len(value) > LONG:
        return cast(JSON, _LaterText(value))
    return None if value is None else JSON(value)


@resource(
    description="The report of a produced key or value.",
    fields={
        "type": "Its format.",
        "size": "Its size in bytes once serialized; -1 for null.",
        "subject": "The schema's subject; null for formats without schemas, as are the schema's id and version.",
        "schema_id": "The schema's id.",
        "schema_version": "The schema's version in the subject.",
    },
)
class DataReport(core_records.DataReport):
    """The report of a key or value."""


@resource(
    description="The delivery report of a record that Kafka has acknowledged.",
    fields={"topic_name": "The topic's name.", "partition_id": "The partition to which the record was written."},
)
class RecordReport(core_records.RecordReport):
    """A delivery report."""

    offset: BigInt | None = strawberry.field(
        description="The record's offset in the partition; null if brokers do not acknowledge records."
    )

    @field(name="timestamp", description="The record's timestamp as stored in Kafka.")
    def time(self) -> datetime | None:
        return from_millis(self.timestamp)

    @field(name="key", description="The key's report; null without a key.", graphql_type=DataReport | None)
    def key_report(self) -> core_records.DataReport | None:
        return self.key

    @field(name="value", description="The value's report; null without a value.", graphql_type=DataReport | None)
    def value_report(self) -> core_records.DataReport | None:
        return self.value
