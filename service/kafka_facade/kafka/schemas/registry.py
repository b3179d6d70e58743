"""The Schema Registry, through confluent-kafka's client, with its schemas compiled and cached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache, TTLCache
from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, RegisteredSchema, Schema
from confluent_kafka.schema_registry.error import SchemaRegistryError

from kafka_facade.core.errors import (
    FacadeError,
    InvalidRequest,
    InvalidSchema,
    KafkaAuthorizationFailed,
    SchemaLookupFailed,
)
from kafka_facade.core.ports import SchemaCodec, SubjectVersion
from kafka_facade.core.resources import Format
from kafka_facade.kafka.schemas.compiler import Compiler, Source

logger = logging.getLogger("kafka_facade.kafka")

_TYPES: Final = {Format.AVRO: "AVRO", Format.JSONSCHEMA: "JSON", Format.PROTOBUF: "PROTOBUF"}
_FORMATS: Final = {type_: format for format, type_ in _TYPES.items()}

# A registry that doesn't answer for so long (s) is one that is down.
_LIMIT_SECONDS: Final = 5.0
# How long (s) the latest version of a subject, and a failure, are taken for granted.
_LATEST_SECONDS: Final = 1.0
_FAILURE_SECONDS: Final = 1.0
_MAX_CONCURRENT: Final = 16
# Caches are bounded by the length of the schemas' texts, and what each costs besides.
_CACHE_SIZE: Final = 32 * 1024 * 1024
_ENTRY_SIZE: Final = 8192
_MAX_TEXT: Final = 1024 * 1024
_MAX_REFERENCES: Final = 200
_MAX_SHOWN: Final = 1000

_CLIENT_DEFAULTS: Final = {"max.retries": 2, "retries.wait.ms": 50, "retries.max.wait.ms": 500, "timeout": 5}
_NOT_AUTHORIZED: Final = 40301
_NOT_FOUND: Final = 404
_INVALID_SCHEMA: Final = 42201
# A setting of the Java client that says what is so here anyway.
_IGNORED: Final = "basic.auth.credentials.source"

_Key = tuple[object, ...]


class _Unreadable(Exception):
    """A schema that can't be compiled."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    size: int


def client_config(url: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """The client's settings; ``properties`` have their names without ``schema.registry.``."""
    kept = {name: value for name, value in properties.items() if name != _IGNORED}
    return {"url": url} | _CLIENT_DEFAULTS | kept


class SchemaRegistry:
    """A registry, or several that are the same one. Made on the event loop that uses it.

    ValueError for a setting that the client doesn't take.
    """

    def __init__(self, url: str, properties: Mapping[str, str]) -> None:
        self._client = AsyncSchemaRegistryClient(client_config(url, properties))
        self._compiler = Compiler()
        self._known: LRUCache[_Key, _Entry] = LRUCache(_CACHE_SIZE, getsizeof=lambda entry: entry.size)
        self._latest: TTLCache[str, SubjectVersion] = TTLCache(1000, _LATEST_SECONDS)
        self._failed: TTLCache[_Key, FacadeError] = TTLCache(1000, _FAILURE_SECONDS)
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def close(self) -> None:
        """Let go of connections and threads."""
        self._compiler.close()
        await self._client.aclose()

    async def schema(self, schema_id: int, timeout: float) -> SchemaCodec:
        """See the port."""

        def what() -> str:
            return f"Error when fetching schema by id. schemaId = {schema_id}"

        codec: SchemaCodec = await self._cached(("id", schema_id), lambda: self._of_id(schema_id), what, timeout)
        return codec

    async def parse(self, format: Format, text: str, timeout: float) -> SchemaCodec:
        """See the port."""

        def what() -> str:
            return f"Error when parsing raw schema. format = {format.value}, schema = {text[:_MAX_SHOWN]}"

        codec: SchemaCodec = await self._cached(
            ("text", format, text), lambda: self._of_text(format, text), what, timeout
        )
        return codec

    async def register(self, subject: str, format: Format, text: str, timeout: float) -> SubjectVersion:
        """See the port."""

        async def load() -> _Entry:
            codec = (await self._of_text(format, text)).value
            schema = Schema(text, _TYPES[format])
            try:
                found = await self._client.lookup_schema(subject, schema)
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                await self._client.register_schema_full_response(subject, schema)
                found = await self._client.lookup_schema(subject, schema)
            return _Entry(_subject_version(subject, found, codec), _ENTRY_SIZE + len(text))

        def what() -> str:
            head = f"Error when registering schema. format = {format.value}, subject = {subject}"
            return f"{head}, schema = {text[:_MAX_SHOWN]}"

        version: SubjectVersion = await self._cached(("raw", subject, format, text), load, what, timeout)
        return version

    async def version_of(self, subject: str, schema_id: int, timeout: float) -> SubjectVersion:
        """See the port."""

        async def load() -> _Entry:
            codec = (await self._of_id(schema_id)).value
            found = await self._client.lookup_schema(subject, await self._client.get_schema(schema_id))
            # A schema may have another id in a subject; what is written has the one that was asked for.
            return _Entry(SubjectVersion(subject, found.version or 0, schema_id, codec), _ENTRY_SIZE)

        def what() -> str:
            return f"Error when fetching schema version. subject = {subject}, schemaId = {schema_id}"

        version: SubjectVersion = await self._cached(("of", subject, schema_id), load, what, timeout)
        return version

    async def subject_version(self, subject: str, version: int | None, timeout: float) -> SubjectVersion:
        """See the port."""
        if version is None:
            if (known := self._latest.get(subject)) is not None:
                return known
            found: SubjectVersion = await self._cached(
                ("latest", subject),
                lambda: self._of_version(subject, None),
                lambda: f"Error when fetching latest schema version. subject = {subject}",
                timeout,
                keep=False,
            )
            self._latest[subject] = found
            return found
        try:
            found = await self._cached(
                ("version", subject, version),
                lambda: self._of_version(subject, version),
                lambda: f"Error when fetching schema by version. subject = {subject}, version = {version}",
                timeout,
            )
        except SchemaLookupFailed as error:
            if error.metadata.get("registry_status") not in ("404", "422"):
                raise
            text = f"Bad Request: Schema does not exist for subject: {subject}, version: {version}"
            raise InvalidRequest(text, subject=subject, version=str(version)) from None
        return found

    async def _of_id(self, schema_id: int) -> _Entry:
        key = ("id", schema_id)
        entry = self._known.get(key)
        if entry is None:
            entry = self._keep(key, await self._compiled(await self._client.get_schema(schema_id)))
        return entry

    async def _of_text(self, format: Format, text: str) -> _Entry:
        key = ("text", format, text)
        entry = self._known.get(key)
        if entry is None:
            entry = self._keep(key, await self._compiled(Schema(text, _TYPES[format])))
        return entry

    async def _of_version(self, subject: str, version: int | None) -> _Entry:
        found = await self._client.get_version(subject, "latest" if version is None else version)
        key = ("id", found.schema_id)
        entry = self._known.get(key)
        if entry is None:
            entry = self._keep(key, await self._compiled(found.schema))
        return _Entry(_subject_version(subject, found, entry.value), _ENTRY_SIZE)

    async def _compiled(self, schema: Schema) -> _Entry:
        """A codec of a schema with all that it refers to."""
        format = _FORMATS.get(schema.schema_type or "AVRO")
        if format is None:
            raise _Unreadable(f"schemas of the type {schema.schema_type} aren't supported")
        sources: dict[tuple[str, int], Source] = {}
        await self._collect(schema, sources, ())
        text = schema.schema_str or ""
        size = len(text) + sum(len(source.text) for source in sources.values())
        if size > _MAX_TEXT:
            raise _Unreadable(f"the schema is longer than {_MAX_TEXT} characters")
        try:
            codec = await self._compiler.compile(format, text, list(sources.values()))
        except ValueError as error:
            raise _Unreadable(str(error)) from None
        return _Entry(codec, _ENTRY_SIZE + size)

    async def _collect(
        self, schema: Schema, sources: dict[tuple[str, int], Source], within: tuple[tuple[str, int], ...]
    ) -> None:
        """Find what a schema refers to; what refers to something comes after it."""
        for reference in schema.references or ():
            key = (reference.subject or "", reference.version or 0)
            if key in sources:
                continue
            if key in within or len(sources) + len(within) > _MAX_REFERENCES:
                raise _Unreadable("the references of the schema are too many or a circle")
            found = await self._client.get_version(*key)
            await self._collect(found.schema, sources, (*within, key))
            sources[key] = Source(reference.name or "", found.schema.schema_str or "")

    async def _cached(
        self,
        key: _Key,
        load: Callable[[], Awaitable[_Entry]],
        what: Callable[[], str],
        timeout: float,
        *,
        keep: bool = True,
    ) -> Any:
        """What is known for a key, or what ``load`` finds within the time; messages of failures begin with ``what``.

        A registry that is away isn't asked for the key again at once; what it refuses may be there a moment later.
        """
        if (entry := self._known.get(key)) is not None:
            return entry.value
        if (failure := self._failed.get(key)) is not None:
            # Another exception each time: an exception gathers the places where it was raised.
            raise type(failure)(failure.message, **failure.metadata)
        try:
            async with asyncio.timeout(min(timeout, _LIMIT_SECONDS)), self._slots:
                if (entry := self._known.get(key)) is None:
                    entry = await load()
        except _Unreadable as error:
            raise self._remembered(key, InvalidSchema(f"Invalid schema: {what()}: {error}")) from None
        except TimeoutError:
            message = f"{what()}: the Schema Registry doesn't answer"
            raise self._remembered(key, SchemaLookupFailed(message)) from None
        except SchemaRegistryError as error:
            raise _refusal(what(), error) from None
        except Exception as error:
            logger.warning("the Schema Registry can't be reached: %s: %s", type(error).__name__, error)
            message = f"{what()}: the Schema Registry can't be reached"
            raise self._remembered(key, SchemaLookupFailed(message)) from None
        finally:
            # The client's own caches have no bound.
            await self._client.clear_caches()
        return (self._keep(key, entry) if keep else entry).value

    def _keep(self, key: _Key, entry: _Entry) -> _Entry:
        self._known[key] = entry
        return entry

    def _remembered(self, key: _Key, failure: FacadeError) -> FacadeError:
        self._failed[key] = failure
        return failure


def _subject_version(subject: str, found: RegisteredSchema, codec: SchemaCodec) -> SubjectVersion:
    return SubjectVersion(subject, found.version or 0, found.schema_id or 0, codec)


def _refusal(what: str, error: SchemaRegistryError) -> FacadeError:
    text = f"{error.error_message}; error code: {error.error_code}"
    if error.error_code == _NOT_AUTHORIZED:
        return KafkaAuthorizationFailed(what)
    if error.error_code == _INVALID_SCHEMA:
        return InvalidSchema(f"Invalid schema: {what}\n{text}")
    return SchemaLookupFailed(f"{what}\n{text}", registry_status=str(error.http_status_code))
