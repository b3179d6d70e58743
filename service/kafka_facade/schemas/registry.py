"""The Schema Registry port: fetches schemas, compiles and caches them."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, cast

from cachetools import LRUCache, TTLCache
from confluent_kafka.schema_registry import RegisteredSchema, Schema
from confluent_kafka.schema_registry.error import SchemaRegistryError

from kafka_facade.client_settings.registry import client_config
from kafka_facade.core.errors import (
    FacadeError,
    InvalidRequest,
    InvalidSchema,
    KafkaAuthorizationFailed,
    SchemaLookupFailed,
    SchemaRegistryUnavailable,
    Unavailable,
)
from kafka_facade.core.quoting import MESSAGE_LENGTH, quote
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import SchemaCodec, SubjectVersion
from kafka_facade.core.secrets import redact, secrets_of
from kafka_facade.core.worker_threads import NoFreeThread
from kafka_facade.schemas.bounded_http import BadAnswer
from kafka_facade.schemas.compiler import Compiler, Source
from kafka_facade.schemas.registry_client import NoAnswer, Queued, RegistryClient, check_subject

logger = logging.getLogger("kafka_facade.schemas")

_TYPES: Final = {Format.AVRO: "AVRO", Format.JSONSCHEMA: "JSON", Format.PROTOBUF: "PROTOBUF"}
_FORMATS: Final = {type_: format for format, type_ in _TYPES.items()}

# Cache times (s) of the latest version of a subject, and of a failure.
_LATEST_SECONDS: Final = 1.0
_FAILURE_SECONDS: Final = 1.0
# Cache limits: the memory (bytes) of the schemas, and the overhead of each entry. The entry of a subject version counts
# its schema too, because it keeps the schema alive.
_CACHE_SIZE: Final = 64 * 1024 * 1024
_MAX_MEMORY: Final = 32 * 1024 * 1024
_ENTRY_SIZE: Final = 8192
_MAX_TEXT: Final = 1024 * 1024
_MAX_REFERENCES: Final = 200

_CLIENT_DEFAULTS: Final = {"max.retries": 2, "retries.wait.ms": 50, "retries.max.wait.ms": 500, "timeout": 5}
# Longer messages are cut.
_MOST_SAID: Final = 64 * 1024
_NOT_AUTHORIZED: Final = 40301
_NOT_FOUND: Final = 404
_INVALID_SCHEMA: Final = 42201
_CODES: Final = range(1, 2**31)
# Retriable statuses: server errors and too many requests (RFC 6585).
_FAILED: Final = frozenset({429, *range(500, 600)})

_Key = tuple[object, ...]


class _Unreadable(Exception):
    """The schema cannot be compiled. The text may quote the registry, which may quote the request's credentials."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    size: int


class _Collected:
    """A schema's text, and its references by subject and version."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sources: dict[tuple[str, int], Source] = {}
        self.size = 0
        self.count(text)

    def count(self, text: str) -> None:
        """Add to the size. Raises _Unreadable if it exceeds the limit."""
        self.size += len(text)
        if self.size > _MAX_TEXT:
            raise _Unreadable(f"the schema is longer than {_MAX_TEXT} characters")


class SchemaRegistry:
    """A registry at one or several URLs. Create it on the event loop that uses it.

    Raises BadSettings for settings that the client rejects.
    """

    def __init__(self, url: str, properties: Mapping[str, str]) -> None:
        config = client_config(url, properties)
        self._secrets = secrets_of(config)
        self._client = RegistryClient(config | _CLIENT_DEFAULTS)
        self._compiler = Compiler()
        self._known: LRUCache[_Key, _Entry] = LRUCache(_CACHE_SIZE, getsizeof=lambda entry: entry.size)
        self._latest: TTLCache[str, _Entry] = TTLCache(_CACHE_SIZE, _LATEST_SECONDS, getsizeof=lambda entry: entry.size)
        self._failed: TTLCache[_Key, FacadeError] = TTLCache(1000, _FAILURE_SECONDS)

    async def close(self) -> None:
        """Close connections and stop threads."""
        self._compiler.close()
        await self._client.close()

    async def schema(self, schema_id: int, timeout: float) -> SchemaCodec:
        """See the port."""

        def what() -> str:
            return f"Error when fetching schema by id. schemaId = {schema_id}"

        codec: SchemaCodec = await self._cached(
            ("id", schema_id), lambda deadline: self._of_id(schema_id, deadline), what, timeout
        )
        return codec

    def knows(self, schema_id: int) -> bool:
        """See the port."""
        return ("id", schema_id) in self._known

    async def subjects(self, schema_id: int, timeout: float) -> Sequence[str]:
        """See the port."""

        async def load(deadline: float) -> _Entry:
            found = await self._client.subjects(schema_id, deadline)
            return _Entry(found, _ENTRY_SIZE)

        def what() -> str:
            return f"Error when fetching the subjects of a schema. schemaId = {schema_id}"

        found: Sequence[str] = await self._cached(("subjects", schema_id), load, what, timeout, keep=False)
        return found

    async def parse(self, format: Format, text: str, timeout: float) -> SchemaCodec:
        """See the port."""

        def what() -> str:
            return f"Error when parsing raw schema. format = {format.value}, schema = {quote(text)}"

        codec: SchemaCodec = await self._cached(
            _text_key(format, text), lambda deadline: self._of_text(format, text, deadline), what, timeout
        )
        return codec

    async def register(self, subject: str, format: Format, text: str, timeout: float) -> SubjectVersion:
        """See the port."""
        _check_subject(subject)

        async def load(deadline: float) -> _Entry:
            entry = await self._of_text(format, text, deadline)
            schema = Schema(text, _TYPES[format])
            try:
                found = await self._client.lookup(subject, schema, deadline)
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                await self._client.register(subject, schema, deadline)
                found = await self._client.lookup(subject, schema, deadline)
            return _Entry(_subject_version(subject, found, entry.value), _ENTRY_SIZE + entry.size)

        def what() -> str:
            head = f"Error when registering schema. format = {format.value}, subject = {subject}"
            return f"{head}, schema = {quote(text)}"

        version: SubjectVersion = await self._cached((*_text_key(format, text), subject), load, what, timeout)
        return version

    async def version_of(self, subject: str, schema_id: int, timeout: float) -> SubjectVersion:
        """See the port."""
        _check_subject(subject)

        async def load(deadline: float) -> _Entry:
            entry = await self._of_id(schema_id, deadline)
            found = await self._client.lookup(subject, await self._client.schema(schema_id, deadline), deadline)
            # The schema may have another id in the subject; records are written with the requested id.
            version = SubjectVersion(subject, found.version or 0, schema_id, entry.value)
            return _Entry(version, _ENTRY_SIZE + entry.size)

        def what() -> str:
            return f"Error when fetching schema version. subject = {subject}, schemaId = {schema_id}"

        version: SubjectVersion = await self._cached(("of", subject, schema_id), load, what, timeout)
        return version

    async def subject_version(self, subject: str, version: int | None, timeout: float) -> SubjectVersion:
        """See the port."""
        _check_subject(subject)
        if version is None:
            if (known := self._latest.get(subject)) is not None:
                latest: SubjectVersion = known.value
                return latest

            async def load(deadline: float) -> _Entry:
                entry = await self._of_version(subject, None, deadline)
                self._latest[subject] = entry
                return entry

            found: SubjectVersion = await self._cached(
                ("latest", subject),
                load,
                lambda: f"Error when fetching latest schema version. subject = {subject}",
                timeout,
                keep=False,
            )
            return found
        try:
            found = await self._cached(
                ("version", subject, version),
                lambda deadline: self._of_version(subject, version, deadline),
                lambda: f"Error when fetching schema by version. subject = {subject}, version = {version}",
                timeout,
            )
        except SchemaLookupFailed as error:
            if error.metadata.get("registry_status") not in ("404", "422"):
                raise
            text = f"Bad Request: Schema does not exist for subject: {subject}, version: {version}"
            raise InvalidRequest(text, subject=subject, version=str(version)) from None
        return found

    async def _of_id(self, schema_id: int, deadline: float) -> _Entry:
        key = ("id", schema_id)
        if (entry := self._known.get(key)) is not None:
            return entry
        return await self._compiled(key, await self._client.schema(schema_id, deadline), deadline)

    async def _of_text(self, format: Format, text: str, deadline: float) -> _Entry:
        key = _text_key(format, text)
        if (entry := self._known.get(key)) is not None:
            return entry
        return await self._compiled(key, Schema(text, _TYPES[format]), deadline)

    async def _of_version(self, subject: str, version: int | None, deadline: float) -> _Entry:
        found = await self._client.version(subject, version, deadline)
        key = ("id", found.schema_id)
        entry = self._known.get(key)
        if entry is None:
            entry = await self._compiled(key, found.schema, deadline)
        return _Entry(_subject_version(subject, found, entry.value), _ENTRY_SIZE + entry.size)

    async def _compiled(self, key: _Key, schema: Schema, deadline: float) -> _Entry:
        """Compile a schema with its references, and cache the codec under the key."""
        format = _FORMATS.get(schema.schema_type or "AVRO")
        if format is None:
            raise _Unreadable(f"schemas of the type {schema.schema_type} aren't supported")
        collected = _Collected(schema.schema_str or "")
        await self._collect(schema, collected, (), deadline)
        try:
            codec = await self._compiler.compile(
                format,
                collected.text,
                list(collected.sources.values()),
                lambda: entry.value if (entry := self._known.get(key)) is not None else None,
                deadline - time.monotonic(),
            )
        except ValueError as error:
            # What the compiler has raised has no traceback, so it keeps nothing.
            raise _Unreadable(str(error)) from None
        if codec.memory > _MAX_MEMORY:
            raise _Unreadable(f"the schema takes more than {_MAX_MEMORY} bytes of memory")
        return self._keep(key, _Entry(codec, _ENTRY_SIZE + codec.memory))

    async def _collect(
        self, schema: Schema, collected: _Collected, within: tuple[tuple[str, int], ...], deadline: float
    ) -> None:
        """Fetch the references of a schema; each comes before the schemas that refer to it."""
        if len(schema.references or ()) > _MAX_REFERENCES:
            raise _Unreadable(f"the schema has more than {_MAX_REFERENCES} references")
        for reference in schema.references or ():
            key = (reference.subject or "", reference.version or 0)
            if key in collected.sources:
                continue
            if key in within or len(collected.sources) + len(within) > _MAX_REFERENCES:
                raise _Unreadable("the schema has too many references, or they are circular")
            try:
                check_subject(key[0])
            except ValueError as error:
                raise _Unreadable(f"a reference has an invalid subject: {error}") from None
            found = await self._client.version(*key, deadline)
            collected.count(found.schema.schema_str or "")
            await self._collect(found.schema, collected, (*within, key), deadline)
            collected.sources[key] = Source(reference.name or "", found.schema.schema_str or "")

    async def _cached(
        self,
        key: _Key,
        load: Callable[[float], Awaitable[_Entry]],
        what: Callable[[], str],
        timeout: float,
        *,
        keep: bool = True,
    ) -> Any:
        """Return the cached value of a key, or load it within ``timeout`` seconds. Error messages begin with ``what``.

        Failures are cached for a short time, except for requests that the registry rejects.
        """
        if (entry := self._known.get(key)) is not None:
            return entry.value
        if (failure := self._failed.get(key)) is not None:
            # Raise a new exception each time: tracebacks accumulate in a reused one.
            raise _again(failure)
        try:
            entry = await load(time.monotonic() + timeout)
        except _Unreadable as error:
            why = quote(redact(str(error)[:_MOST_SAID], self._secrets), MESSAGE_LENGTH)
            raise self._remembered(key, InvalidSchema(f"Invalid schema: {what()}: {why}")) from None
        except (Queued, NoFreeThread):
            # The registry and the schema are fine, there are only too many requests.
            raise Unavailable(f"{what()}: the schema lookup queue is full; retry") from None
        except TimeoutError:
            raise Unavailable(f"{what()}: the machine is too busy to compile the schema") from None
        except Unavailable as error:
            raise Unavailable(f"{what()}: {error.message}") from None
        except NoAnswer:
            message = f"{what()}: the Schema Registry doesn't respond"
            raise self._remembered(key, SchemaRegistryUnavailable(message)) from None
        except SchemaRegistryError as error:
            raise _refusal(what(), error, self._secrets) from None
        except BadAnswer as error:
            why = redact(str(error)[:_MOST_SAID], self._secrets)
            message = f"{what()}: the Schema Registry returned an invalid response: {why}"
            raise self._remembered(key, SchemaRegistryUnavailable(message)) from None
        except Exception as error:
            logger.warning("the Schema Registry can't be reached: %s: %s", type(error).__name__, error)
            message = f"{what()}: the Schema Registry can't be reached"
            raise self._remembered(key, SchemaRegistryUnavailable(message)) from None
        return (self._keep(key, entry) if keep else entry).value

    def _keep(self, key: _Key, entry: _Entry) -> _Entry:
        self._known[key] = entry
        return entry

    def _remembered(self, key: _Key, failure: FacadeError) -> FacadeError:
        # Not the error that is raised: its traceback would keep the frames, and what they have read.
        self._failed[key] = _again(failure)
        return failure


def _again(failure: FacadeError) -> FacadeError:
    return type(failure)(failure.message, **failure.metadata)


def _text_key(format: Format, text: str) -> _Key:
    # Hash the text: it may be large, and keys of failures are kept too.
    return ("text", format, blake2b(text.encode(errors="surrogatepass"), digest_size=32).digest())


def _check_subject(subject: str) -> None:
    try:
        check_subject(subject)
    except ValueError as error:
        raise InvalidRequest(f"Bad Request: {error}", field="subject") from None


def _subject_version(subject: str, found: RegisteredSchema, codec: SchemaCodec) -> SubjectVersion:
    return SubjectVersion(subject, found.version or 0, found.schema_id or 0, codec)


def _refusal(what: str, error: SchemaRegistryError, secrets: set[str]) -> FacadeError:
    if error.error_code == _NOT_AUTHORIZED:
        return KafkaAuthorizationFailed(what)
    # The client checks no types.
    code, said = cast("object", error.error_code), cast("object", error.error_message)
    if type(code) is not int or code not in _CODES or not isinstance(said, str):
        # Errors of the registry have both; this one comes from a proxy in front of it.
        status = f"status {error.http_status_code} without a valid error code and message"
        return SchemaRegistryUnavailable(f"{what}: the Schema Registry returned an invalid response: {status}")
    # A proxy may quote the request's credentials.
    text = f"{quote(redact(said[:_MOST_SAID], secrets))}; error code: {code}"
    if code == _INVALID_SCHEMA:
        return InvalidSchema(f"Invalid schema: {what}\n{text}")
    kind = SchemaRegistryUnavailable if error.http_status_code in _FAILED else SchemaLookupFailed
    return kind(f"{what}\n{text}", registry_status=str(error.http_status_code))
