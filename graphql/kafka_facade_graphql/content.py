"""Records and their bytes: each key, value and header is offered in every form that it can be read in."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from typing import Any

import strawberry

from kafka_facade.core import resources as core
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import JSON, Base64, BigInt, from_millis

Format = strawberry.enum(core.Format, description="How a key or a value is embedded.")


@strawberry.type(description="Bytes of a record, in each form that they can be read in.")
class Content:
    """The bytes of a key, value or header."""

    data: strawberry.Private[bytes]

    @field(description="The bytes as they are, in base64.")
    def base64(self) -> Base64:
        return Base64(self.data)

    @field(description="The bytes as text; null where they aren't UTF-8.")
    def text(self) -> str | None:
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None

    @field(description="The bytes as a JSON value; null where they aren't JSON.")
    def json(self) -> JSON | None:
        try:
            return JSON(json.loads(self.data, parse_constant=_refuse))
        except (ValueError, RecursionError):
            return None

    @field(description="How many bytes there are.")
    def size(self) -> int:
        return len(self.data)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _content(data: bytes | None) -> Content | None:
    return None if data is None else Content(data=data)


@resource(description="A header of a record; a name may repeat.", fields={"name": "The header's name."})
class Header(core.Header):
    """A record header."""

    @field(name="value", description="The header's value; null for none.")
    def content(self) -> Content | None:
        return _content(self.value)


@resource(
    description="A record as Kafka holds it.",
    fields={"topic_name": "The topic's name.", "partition_id": "The partition that holds it."},
)
class Record(core.Record):
    """A record; the same type in subscriptions and in what consumer instances fetch."""

    offset: BigInt = strawberry.field(description="Its offset in the partition.")

    @field(name="timestamp", description="When it was made or appended; null where the record doesn't say.")
    def time(self) -> datetime | None:
        return from_millis(self.timestamp)

    @field(name="headers", description="Its headers, in order.", graphql_type=list[Header])
    def all_headers(self) -> list[core.Header]:
        return self.headers

    @field(name="key", description="Its key; null for none.")
    def key_content(self) -> Content | None:
        return _content(self.key)

    @field(name="value", description="Its value; null for none, which is a tombstone in a compacted topic.")
    def value_content(self) -> Content | None:
        return _content(self.value)


@resource(description="A record that a consumer instance has fetched, decoded from the instance's format.")
class FetchedRecord(core.FetchedRecord):
    """What a fetch returns for each record."""

    @field(name="record", description="The record as Kafka holds it.", graphql_type=Record)
    def held(self) -> core.Record:
        return self.record

    @field(name="key", description="The key in the instance's format; BINARY is base64 text.")
    def key_data(self) -> JSON | None:
        return _data(self.key)

    @field(name="value", description="The value in the instance's format; BINARY is base64 text.")
    def value_data(self) -> JSON | None:
        return _data(self.value)


def _data(value: Any) -> JSON | None:
    if isinstance(value, bytes):
        return JSON(b64encode(value).decode())
    return None if value is None else JSON(value)


@resource(
    description="What became of a key or a value.",
    fields={
        "type": "Its format.",
        "size": "Its size in bytes once serialized; -1 for null.",
        "subject": "The schema's subject; null for formats without schemas, as are the schema's id and version.",
        "schema_id": "The schema's id.",
        "schema_version": "The schema's version in the subject.",
    },
)
class DataReport(core.DataReport):
    """The report of a key or value."""


@resource(
    description="The delivery report of a record that Kafka has acknowledged.",
    fields={"topic_name": "The topic's name.", "partition_id": "The partition that the record is in."},
)
class RecordReport(core.RecordReport):
    """A delivery report."""

    offset: BigInt | None = strawberry.field(
        description="The record's offset in the partition; null where brokers do not acknowledge records."
    )

    @field(name="timestamp", description="The record's time as Kafka has it.")
    def time(self) -> datetime | None:
        return from_millis(self.timestamp)

    @field(name="key", description="The key's report; null where there was no key.", graphql_type=DataReport | None)
    def key_report(self) -> core.DataReport | None:
        return self.key

    @field(
        name="value", description="The value's report; null where there was no value.", graphql_type=DataReport | None
    )
    def value_report(self) -> core.DataReport | None:
        return self.value
