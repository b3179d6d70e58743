"""Requests to the Schema Registry, through confluent-kafka's client: bounded in number, time and size.

What a caller, a record or the registry itself names can't lead a request elsewhere: subjects stay within their part of
the path, and redirects are not followed.
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

_T = TypeVar("_T")

# A registry that doesn't answer a request for so long (s) is one that is down.
_ANSWER_SECONDS: Final = 5.0
_MAX_REQUESTS: Final = 16
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_SUBJECT: Final = 2000
# Dots are unreserved in URLs (RFC 3986, section 2.3): however they are encoded, a server may take such a part for a
# step within the path.
_STEP: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\]|\Z)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_INT32: Final = range(-(2**31), 2**31)


class NoAnswer(Exception):
    """The registry doesn't answer in time."""


class Queued(Exception):
    """The registry answers others, but the caller's time ended before its request was sent."""


def check_subject(subject: str) -> None:
    """ValueError for a name that can't be a part of a URL's path, or isn't one of a subject."""
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
    """One registry, or several URLs of one. ValueError for a setting that the client doesn't take.

    Every request raises NoAnswer, Queued, BadAnswer, SchemaRegistryError for what the registry refuses, and other
    exceptions where it can't be reached. Subjects have passed ``check_subject``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._client = AsyncSchemaRegistryClient(dict(config))
        rest: Any = self._client._rest_client
        bound(rest.session, max_bytes=_MAX_ANSWER_BYTES, reduced=reduced)
        if (tokens := getattr(rest.bearer_field_provider, "client", None)) is not None:
            bound(tokens)
        self._slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._answered = 0.0

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def schema(self, schema_id: int, deadline: float) -> Schema:
        """The schema of an id; ``deadline`` is by the monotonic clock (s), for this and the other requests."""
        return _schema(await self._ask(lambda: self._client.get_schema(schema_id), deadline))

    async def subjects(self, schema_id: int, deadline: float) -> list[str]:
        """The subjects that have the schema of an id, ordered, of some 10,000; what can't name one is left out."""
        found = await self._ask(lambda: self._client.get_subjects_by_schema_id(schema_id), deadline)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found[:MAX_SUBJECTS]):
            raise BadAnswer(NOT_OF_THE_API)
        return sorted(subject for subject in found[:MAX_SUBJECTS] if _is_subject(subject))

    async def version(self, subject: str, version: int | None, deadline: float) -> RegisteredSchema:
        """A version of a subject, None for the latest."""
        wanted: Any = "latest" if version is None else version
        found = _registered(await self._ask(lambda: self._client.get_version(subject, wanted), deadline))
        if version not in (None, -1, found.version):
            raise BadAnswer(f"asked for version {version}, it answers with {found.version}")
        return found

    async def lookup(self, subject: str, schema: Schema, deadline: float) -> RegisteredSchema:
        """The version that a schema has in a subject."""
        return _registered(await self._ask(lambda: self._client.lookup_schema(subject, schema), deadline))

    async def register(self, subject: str, schema: Schema, deadline: float) -> None:
        """Make the schema a version of the subject."""
        await self._ask(lambda: self._client.register_schema_full_response(subject, schema), deadline)

    async def _ask(self, request: Callable[[], Awaitable[_T]], deadline: float) -> _T:
        waited = await self._slot(deadline)
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(_ANSWER_SECONDS, left)):
                found = await request()
        except TimeoutError:
            # What the queue left of the caller's time may be too little for any registry.
            raise (Queued if waited and left < _ANSWER_SECONDS else NoAnswer) from None
        except SchemaRegistryError:
            self._answered = time.monotonic()
            raise
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            raise BadAnswer(NOT_OF_THE_API) from None
        finally:
            self._slots.release()
            # The client's own caches have no bound.
            await self._client.clear_caches()
        self._answered = time.monotonic()
        return found

    async def _slot(self, deadline: float) -> bool:
        """Wait for others to be answered, for as long as any of them is; whether there was anything to wait for."""
        if not self._slots.locked():
            await self._slots.acquire()
            return False
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(min(_ANSWER_SECONDS, deadline - started)):
                    await self._slots.acquire()
                return True
            except TimeoutError:
                now = time.monotonic()
                if self._answered < started and now - started >= _ANSWER_SECONDS:
                    raise NoAnswer from None
                if now >= deadline:
                    raise Queued from None


def _registered(found: RegisteredSchema) -> RegisteredSchema:
    _schema(found.schema)
    if not all(type(number) is int and number in _INT32 for number in (found.schema_id, found.version)):
        raise BadAnswer(NOT_OF_THE_API)
    return found


def _schema(found: Schema) -> Schema:
    """The schema, all of whose members have their types."""
    texts = [found.schema_str, found.schema_type or "AVRO"]
    for reference in found.references or ():
        texts += [reference.name, reference.subject]
        if type(reference.version) is not int or reference.version not in _INT32:
            raise BadAnswer(NOT_OF_THE_API)
    if not all(isinstance(text, str) for text in texts):
        raise BadAnswer(NOT_OF_THE_API)
    return found
