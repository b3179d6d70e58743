"""Schema lookup, and serialization of keys and values with schemas."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from cachetools import TTLCache

from kafka_facade.core.errors import (
    FacadeError,
    InvalidRequest,
    PayloadTooLarge,
    SchemaLookupFailed,
    Unavailable,
    without_traceback,
)
from kafka_facade.core.quoting import quote
from kafka_facade.core.records import json_text
from kafka_facade.core.records.decoding_budget import (
    JSON_ON_LOOP,
    DecodingBudget,
    data_weight,
    structure_weight,
    too_large_at_once,
    weighs_more,
)
from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.model import Format, RecordData, SchemaSelector, SubjectNameStrategy
from kafka_facade.core.records.port import SchemaCodec, SchemaRegistryPort, SubjectVersion, TakesLong
from kafka_facade.core.records.serialization import NotAtOnce, deserialize, is_long, serialize, serialize_long
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.worker_threads import SHORT, NoFreeThread, WorkerThreads

_T = TypeVar("_T")
_Text = TypeVar("_Text", bound=bytes | bytearray | memoryview)

FailedLookups = dict[tuple[str, Format | None, SchemaSelector | None], FacadeError]
"""The errors of lookups in one request, by whether it was for a key or a value, the format and the selection."""

SCHEMA_FORMATS: Final = frozenset({Format.AVRO, Format.JSONSCHEMA, Format.PROTOBUF})

# Size and lifetime (s) of the cache of subjects.
_SUBJECTS: Final = 10_000
_SUBJECT_SECONDS: Final = 60.0
_MAGIC: Final = b"\0"
_HEAD_SIZE: Final = 5
_LATEST: Final = SchemaSelector()
# Data that is large for its schema is serialized in a few threads per format. This is the timeout (s) in wall time;
# codecs limit the CPU time themselves.
_THREADS: Final = 2
_WORK_SECONDS: Final = 60.0
_SHORT_JSON: Final = 16 * 1024
_decode_json = JsonDecoder().decode
_encode_json = msgspec.json.Encoder().encode
# Fail this long (s) before the call's deadline.
_MARGIN_SECONDS: Final = 0.5


class NoSchemaId(ValueError):
    """The bytes do not start with a schema id."""


def id_in(payload: bytes) -> int:
    """Return the schema id at the start of the bytes. Raises NoSchemaId."""
    if len(payload) < _HEAD_SIZE or payload[:1] != _MAGIC:
        raise NoSchemaId("it doesn't begin with the id of a schema")
    return int.from_bytes(payload[1:_HEAD_SIZE], "big", signed=True)


class Schemas:
    """Finds schemas in the registry and serializes with them."""

    def __init__(self, registry: SchemaRegistryPort | None) -> None:
        self._registry = registry
        # Separate pools, so that slow data of one format does not delay others.
        self._threads = {
            format: WorkerThreads(f"serializer-{format.value.lower()}", _THREADS)
            for format in (*SCHEMA_FORMATS, Format.JSON)
        }
        self._subjects: TTLCache[tuple[int, str], str | None] = TTLCache(_SUBJECTS, _SUBJECT_SECONDS)

    def close(self) -> None:
        """Stop the threads."""
        for threads in self._threads.values():
            threads.close()

    async def resolve(self, topic: str, which: str, data: RecordData, timeout: float) -> SubjectVersion:
        """Return the schema of a key or value (``which``), registering it if it was given as text.

        Raises InvalidRequest for an invalid selection, InvalidSchema, and SchemaLookupFailed.
        """
        timeout = max(0.0, timeout - _MARGIN_SECONDS)
        try:
            async with asyncio.timeout(timeout):
                return await self._resolve(topic, which, data, timeout)
        except TimeoutError:
            raise Unavailable("Finding or compiling the schema takes too long; retry.") from None

    async def _resolve(self, topic: str, which: str, data: RecordData, timeout: float) -> SubjectVersion:
        selector = data.schema or _LATEST
        check(data.format, selector)
        registry = self._open()
        if selector.schema is not None and data.format is not None:
            codec = await registry.parse(data.format, selector.schema, timeout)
            return await registry.register(
                _subject(selector, topic, which, codec), data.format, selector.schema, timeout
            )
        if selector.schema_id is not None:
            codec = await registry.schema(selector.schema_id, timeout)
            return await registry.version_of(_subject(selector, topic, which, codec), selector.schema_id, timeout)
        return await registry.subject_version(_subject(selector, topic, which, None), selector.schema_version, timeout)

    async def id_of(
        self, topic: str, which: str, format: Format, selector: SchemaSelector | None, timeout: float
    ) -> int | None:
        """Return the id of the selected schema, or None. Raises InvalidRequest if it has another format."""
        if selector is None:
            return None
        data = RecordData(None if selector.schema is None else format, None, selector)
        version = await self.resolve(topic, which, data, timeout)
        if version.codec.format is not format:
            raise InvalidRequest(
                f"Bad Request: The schema {version.schema_id} is of the format {version.codec.format.value}.",
                field=f"{which}_schema_id",
            )
        return version.schema_id

    async def serialize(
        self, topic: str, which: str, data: RecordData | None, timeout: float, failed: FailedLookups
    ) -> tuple[bytes | None, SubjectVersion | None]:
        """Serialize a key or value; return its bytes (None for null) and its schema (None without one).

        A null with a schema is encoded with the schema. Raises InvalidRequest if the schema does not allow null.
        A lookup that is in ``failed`` is not repeated.
        """
        if data is None:
            return None, None
        if is_long(data):
            return await serialize_long(data, which), None
        with contextlib.suppress(NotAtOnce):
            return serialize(data, which), None
        until = asyncio.get_running_loop().time() + timeout - _MARGIN_SECONDS
        wanted = (which, data.format, data.schema)
        if wanted in failed:
            raise failed[wanted]
        try:
            version = await self.resolve(topic, which, data, timeout)
        except InvalidRequest as error:
            failed[wanted] = without_traceback(_blaming(error, f"{which}.schema"))
            raise failed[wanted] from None
        except FacadeError as error:
            failed[wanted] = without_traceback(error)
            raise
        value = data.data
        try:
            if data_weight(value, version.codec.most_data_on_loop) <= version.codec.most_data_on_loop:
                await time_slice()
                with contextlib.suppress(TakesLong):
                    return _encode(value, version, on_loop=True), version
            work = functools.partial(_encode, value, version)
            size = data_weight(value, SHORT)
            try:
                async with asyncio.timeout_at(until):
                    return await self._in_thread(version.codec.format, work, timeout, size=size), version
            except TimeoutError:
                raise _busy() from None
        except InvalidRequest as error:
            raise _blaming(error, f"{which}.data") from None

    async def decode(self, payload: bytes, timeout: float, format: Format | None = None) -> tuple[object, Format, int]:
        """Decode bytes that start with a schema id; return the JSON value, the schema's format, and the weight.

        A long value is a LongJson.

        Raises ValueError if the bytes violate the schema, if the schema is not of ``format``, or if a response cannot
        contain the value; SchemaLookupFailed and its subclasses. For weights see ``DecodingBudget``.
        """
        codec = await self._open().schema(id_in(payload), timeout)
        if format is not None and codec.format is not format:
            raise ValueError(f"its schema is of the format {codec.format.value}")
        data = payload[_HEAD_SIZE:]
        budget = codec.budget(len(data))
        work = functools.partial(_decode, codec, data, budget)
        if len(data) > codec.most_on_loop:
            value = await self._in_thread(codec.format, work, timeout, size=len(data))
        else:
            await time_slice()
            value = work()
        return value, codec.format, budget.spent

    def knows(self, payload: bytes) -> bool:
        """Return whether the schema of bytes that start with a schema id is known without asking the registry."""
        return self._registry is not None and self._registry.knows(id_in(payload))

    async def decode_json(self, payload: bytes, timeout: float) -> tuple[object, int]:
        """Decode JSON without a schema; return the value and its weight. Raises ValueError if it is invalid.

        A long value is a LongJson.
        """
        weight = len(payload) + await structure_weight(payload)
        if weight > JSON_ON_LOOP:
            return await self._in_thread(Format.JSON, functools.partial(_shown_json, payload), timeout), weight
        await time_slice()
        return deserialize(Format.JSON, payload), weight

    async def read_json(self, read: Callable[[_Text], _T], text: _Text, timeout: float, *, slow: bool = False) -> _T:
        """Parse a caller's JSON with ``read``, in a thread if that is ``slow`` or the text is large.

        Raises PayloadTooLarge, before parsing, if the JSON would become too large.
        """
        # A view is of a large text.
        if slow or isinstance(text, memoryview) or weighs_more(text, JSON_ON_LOOP):
            if await too_large_at_once(text):
                raise PayloadTooLarge("The JSON has more objects, arrays and members than can be read at once.")
            return await self._in_thread(Format.JSON, functools.partial(read, text), timeout)
        if len(text) > _SHORT_JSON:
            await time_slice()
        return read(text)

    async def subject_of(self, topic: str, which: str, schema_id: int, timeout: float) -> str | None:
        """Return a subject that contains the schema, preferably the one named after the topic; None if unknown."""
        named = f"{topic}-{which}"
        key = (schema_id, named)
        if key not in self._subjects:
            try:
                subjects = await self._open().subjects(schema_id, timeout)
            except FacadeError:
                subjects = ()
            self._subjects[key] = named if named in subjects else next(iter(subjects), None)
        return self._subjects.get(key)

    async def _in_thread(self, format: Format, work: Callable[[], _T], wait: float, *, size: int = 0) -> _T:
        """Run work in a thread. Raises Unavailable if no thread was free in time, or the work took too long."""
        try:
            return await self._threads[format].run(work, wait=wait, limit=_WORK_SECONDS, size=size)
        except (NoFreeThread, TimeoutError):
            raise _busy() from None

    def _open(self) -> SchemaRegistryPort:
        if self._registry is None:
            raise SchemaLookupFailed("There is no Schema Registry: schema.registry.url isn't set.")
        return self._registry


def check(format: Format | None, selector: SchemaSelector) -> None:
    """Raise InvalidRequest for members that exclude each other (reference: "Records (v3)")."""
    if selector.subject is not None and selector.subject_name_strategy is not None:
        raise _excluded("Only one of 'subject_name_strategy' or 'subject' can be used.")
    ways = (selector.schema_id, selector.schema_version, selector.schema)
    if sum(way is not None for way in ways) > 1:
        raise _excluded("Only one of 'schema_id', 'schema_version' or 'schema' can be used.")
    if format is not None:
        if format not in SCHEMA_FORMATS:
            raise _excluded(f"'type={format.value}' cannot be used with a schema.")
        if selector.schema_id is not None:
            raise _excluded(f"'schema_id={selector.schema_id}' cannot be used with 'type'.")
        if selector.schema_version is not None:
            raise _excluded(f"'schema_version={selector.schema_version}' cannot be used with 'type'.")
        if selector.schema is None:
            raise _excluded("'schema_version=latest' cannot be used with 'type'.")
    elif selector.schema is not None:
        raise _excluded("'schema' cannot be used without 'type'.")


def _decode(codec: SchemaCodec, payload: bytes, budget: DecodingBudget) -> object:
    try:
        # Base64 makes a text of bytes longer.
        return json_text.shown(codec.decode(payload, budget), 2 * len(payload))
    except (ValueError, FacadeError):
        raise
    except Exception as error:
        # The libraries raise anything at bytes, or at a schema, that they did not expect.
        raise ValueError(f"the bytes can't be decoded: {quote(error)}") from None


def _shown_json(payload: bytes) -> object:
    return json_text.shown(deserialize(Format.JSON, payload), len(payload))


def _encode(data: object, version: SubjectVersion, *, on_loop: bool = False) -> bytes:
    """Encode a key or value, which may be null. Raises InvalidRequest if it violates the schema, and TakesLong."""
    # Codecs do not support numbers that are kept as JSON text.
    is_plain = not _has_raw(data)
    try:
        encoded = version.codec.encode(data if is_plain else _plain(data), on_loop=on_loop)
    except (TakesLong, FacadeError):
        raise
    except Exception as error:
        # As in decoding; an error of one record must not become one of the gateway.
        raise InvalidRequest(f"Bad Request: the data can't be encoded: {quote(error)}") from None
    if not is_plain and version.codec.format is Format.JSONSCHEMA:
        encoded = _encode_json(data)
    return _MAGIC + version.schema_id.to_bytes(4, "big", signed=True) + encoded


def _plain(data: object) -> object:
    """Convert numbers kept as JSON text to plain ones. Raises InvalidRequest for one that is out of range."""
    try:
        return _decode_json(_encode_json(data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"Bad Request: {error}") from None


def _has_raw(data: object) -> bool:
    """Return whether the data contains numbers kept as JSON text."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, msgspec.Raw):
            return True
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _subject(selector: SchemaSelector, topic: str, which: str, codec: SchemaCodec | None) -> str:
    if selector.subject is not None:
        if not selector.subject:
            raise InvalidRequest("Bad Request: the subject must not be empty.", field="subject")
        return selector.subject
    strategy = selector.subject_name_strategy or SubjectNameStrategy.TOPIC_NAME
    if strategy is SubjectNameStrategy.TOPIC_NAME:
        return f"{topic}-{which}"
    if codec is None:
        raise InvalidRequest(
            f"Bad Request: Cannot use subject_name_strategy={strategy.value} without schema_id or schema.",
            field="subject_name_strategy",
        )
    if codec.record_name is None:
        raise InvalidRequest(
            f"Bad Request: subject_name_strategy={strategy.value} needs a schema with a name.",
            field="subject_name_strategy",
        )
    return codec.record_name if strategy is SubjectNameStrategy.RECORD_NAME else f"{topic}-{codec.record_name}"


def _blaming(error: InvalidRequest, place: str) -> InvalidRequest:
    """Return the error with its field path prefixed by ``place``."""
    return error.at(place) if error.field is None else error.within(place)


def _busy() -> Unavailable:
    return Unavailable("Schema worker threads are all busy; retry.")


def _excluded(message: str) -> InvalidRequest:
    return InvalidRequest(f"Bad Request: {message}")
