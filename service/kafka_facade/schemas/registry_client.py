"""Requests to the Schema Registry through confluent-kafka's client, with limits on number, time and size.

Names from callers, records or the registry cannot redirect a request: subjects stay within their path segment, and the
client follows no redirects.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, RegisteredSchema, Schema
from confluent_kafka.schema_registry.error import SchemaRegistryError

from kafka_facade.schemas.bounded_http import BadAnswer, bound
from kafka_facade.schemas.registry_answers import MAX_SUBJECTS, NOT_OF_THE_API, reduced
from kafka_facade.schemas.registry_slots import RegistrySlot, RegistrySlots

_T = TypeVar("_T")

# A registry that does not answer a request for this long (s) counts as down.
_ANSWER_SECONDS: Final = 5.0
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_SUBJECT: Final = 2000
# Dots are unreserved in URLs (RFC 3986, section 2.3): even if they are encoded, a server may treat such a segment as
# relative.
_STEP: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\]|\Z)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_INT32: Final = range(-(2**31), 2**31)


class NoAnswer(Exception):
    """The registry does not answer in time."""


class Queued(Exception):
    """The registry answers others, but the caller's time ended before its request was sent."""


def check_subject(subject: str) -> None:
    """Raise ValueError for an invalid subject, or one that cannot be a segment of a URL's path."""
    if not subject:
        raise ValueError("the subject must not be empty.")
    if len(subject) > _MAX_SUBJECT:
        raise ValueError(f"the subject is longer than {_MAX_SUBJECT} characters.")
    if _CONTROL.search(subject) or _STEP.search(subject):
        raise ValueError("the subject has control characters, or '.' or '..' between slashes.")


def _is_subject(name: str) -> bool:
    try:
        check_subject(name)
    except ValueError:
        return False
    return True


class RegistryClient:
    """A registry at one or several URLs. Raises ValueError for settings that the client rejects.

    Every request raises NoAnswer, Queued, BadAnswer, SchemaRegistryError if the registry rejects it, and other
    exceptions if the registry cannot be reached. Callers check subjects with ``check_subject``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._client = AsyncSchemaRegistryClient(dict(config))
        rest: Any = self._client._rest_client
        bound(rest.session, max_bytes=_MAX_ANSWER_BYTES, reduced=reduced)
        if (tokens := getattr(rest.bearer_field_provider, "client", None)) is not None:
            bound(tokens)
        self._slots = RegistrySlots()
        self._answered = 0.0

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def schema(self, schema_id: int, deadline: float) -> Schema:
        """Return the schema of an id. Here and below, ``deadline`` is in seconds of the monotonic clock."""
        slot = self._slots.slot("schema", schema_id)
        return _schema(await self._ask(slot, lambda: self._client.get_schema(schema_id), deadline))

    async def subjects(self, schema_id: int, deadline: float) -> list[str]:
        """Return the valid subjects among the first 10,000 of a schema id, sorted."""
        slot = self._slots.slot("subjects", schema_id)
        found = await self._ask(slot, lambda: self._client.get_subjects_by_schema_id(schema_id), deadline)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found[:MAX_SUBJECTS]):
            raise BadAnswer(NOT_OF_THE_API)
        return sorted(subject for subject in found[:MAX_SUBJECTS] if _is_subject(subject))

    async def version(self, subject: str, version: int | None, deadline: float) -> RegisteredSchema:
        """Return a version of a subject; None means the latest."""
        wanted: Any = "latest" if version is None else version
        slot = self._slots.slot("version", subject)
        found = _registered(await self._ask(slot, lambda: self._client.get_version(subject, wanted), deadline))
        if version not in (None, -1, found.version):
            raise BadAnswer(f"requested version {version}, got {found.version}")
        return found

    async def lookup(self, subject: str, schema: Schema, deadline: float) -> RegisteredSchema:
        """Return the version of a schema in a subject."""
        slot = self._slots.slot(_lookup_kind(schema), subject)
        return _registered(await self._ask(slot, lambda: self._client.lookup_schema(subject, schema), deadline))

    async def register(self, subject: str, schema: Schema, deadline: float) -> None:
        """Register a schema under a subject."""
        slot = self._slots.slot(_lookup_kind(schema), subject)
        await self._ask(slot, lambda: self._client.register_schema_full_response(subject, schema), deadline)

    async def _ask(self, slot: RegistrySlot, request: Callable[[], Awaitable[_T]], deadline: float) -> _T:
        waited = await self._acquire(slot, deadline)
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(_ANSWER_SECONDS, left)):
                found = await request()
        except TimeoutError:
            # After queueing, the remaining time may be too short for any registry.
            raise (Queued if waited and left < _ANSWER_SECONDS else NoAnswer) from None
        except SchemaRegistryError:
            self._answered = time.monotonic()
            raise
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            raise BadAnswer(NOT_OF_THE_API) from None
        finally:
            slot.release()
            # The client's own caches are unbounded.
            await self._client.clear_caches()
        self._answered = time.monotonic()
        return found

    async def _acquire(self, slot: RegistrySlot, deadline: float) -> bool:
        """Wait for a slot while the registry answers other requests. Return whether this had to wait."""
        if not slot.locked:
            await slot.acquire()
            return False
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(min(_ANSWER_SECONDS, deadline - started)):
                    await slot.acquire()
                return True
            except TimeoutError:
                now = time.monotonic()
                if self._answered < started and now - started >= _ANSWER_SECONDS:
                    raise NoAnswer from None
                if now >= deadline:
                    raise Queued from None


def _lookup_kind(schema: Schema) -> str:
    # A schema of the registry may have any type.
    return schema.schema_type if schema.schema_type in ("JSON", "PROTOBUF") else "AVRO"


def _registered(found: RegisteredSchema) -> RegisteredSchema:
    _schema(found.schema)
    if not all(type(number) is int and number in _INT32 for number in (found.schema_id, found.version)):
        raise BadAnswer(NOT_OF_THE_API)
    return found


def _schema(found: Schema) -> Schema:
    """Return the schema if all members have the right types. Raises BadAnswer otherwise."""
    texts = [found.schema_str, found.schema_type or "AVRO"]
    for reference in found.references or ():
        texts += [reference.name, reference.subject]
        if type(reference.version) is not int or reference.version not in _INT32:
            raise BadAnswer(NOT_OF_THE_API)
    if not all(isinstance(text, str) for text in texts):
        raise BadAnswer(NOT_OF_THE_API)
    return found
