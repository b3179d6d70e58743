"""The JSON Schema codec: JSON that is checked against its schema when it is produced.

jsonschema-rs is fast, can't be stopped, and lets no other thread run: it checks what is done in a moment. What may take
longer is for jsonschema, which lets other threads run and is held to a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urljoin

import jsonschema_rs
import msgspec

from kafka_facade.core.decoding_budget import DecodingBudget
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote
from kafka_facade.core.resources import Format
from kafka_facade.kafka.schemas.json_schema_options import PATTERNS
from kafka_facade.kafka.schemas.json_schema_size import check_patterns, work_per_value

# Where a schema is that doesn't say it (jsonschema-rs's own convention).
_NOWHERE: Final = "json-schema:///"
# Keywords that are checked in one piece, some 20 to 90 ms. A text counts as one value for each so many bytes.
_MAX_WORK: Final = 3_000_000
_BYTES_PER_VALUE: Final = 32
# A schema that asks more of one value than this may be slow for little data.
_COSTLY: Final = 200
# A byte of JSON, such as a digit or a bracket, may become a number or an array.
_BYTE_WEIGHT: Final = 8

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class NamedText(Protocol):
    """A schema that another one refers to by this name."""

    @property
    def name(self) -> str:
        """What the reference calls it."""

    @property
    def text(self) -> str:
        """The schema."""


class JsonSchemaCodec:
    """JSON values to JSON texts, and back. Nothing is fetched from anywhere."""

    format = Format.JSONSCHEMA
    most_on_loop = 50_000

    def __init__(self, text: str, references: Sequence[NamedText] = ()) -> None:
        """ValueError for what is no schema."""
        try:
            schema = _decode(text)
            others = {source.name: _decode(source.text) for source in references}
            check_patterns(schema, others)
            self._work = work_per_value(schema, others)
            self.costly = self._work is None or self._work > _COSTLY
            self._fast = None if self._work is None else _fast_check(schema, others)
            self._guarded = None if self._fast else _guarded_check(schema, others)
            self._sources = schema, others
        except jsonschema_rs.ValidationError as error:
            raise ValueError(_shown(error)) from None
        except (jsonschema_rs.ReferencingError, msgspec.DecodeError, RecursionError, TypeError) as error:
            raise ValueError(f"no JSON schema: {error}") from None
        title = schema.get("title") if isinstance(schema, dict) else None
        self.record_name = title if isinstance(title, str) else None

    def encode(self, data: object) -> bytes:
        """The JSON text of a value; InvalidRequest where it isn't of the schema."""
        try:
            encoded = _encode(data)
            self._check(data, len(encoded))
            return encoded
        except jsonschema_rs.ValidationError as error:
            raise InvalidRequest(f"Bad Request: {_shown(error)}") from None
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"Bad Request: {quote(error)}") from None

    def _check(self, data: object, size: int) -> None:
        if self._fast is not None and self._work is not None:
            most = _MAX_WORK // self._work
            # Each value has two bytes at least.
            if size // 2 <= most or _values(data) <= most:
                self._fast(data)
                return
        if self._guarded is None:
            self._guarded = _guarded_check(*self._sources)
        self._guarded(data)

    def budget(self, size: int) -> DecodingBudget:
        """See the port."""
        return DecodingBudget(size)

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """The value of a JSON text; ValueError where it is none."""
        if budget is not None:
            budget.spend(len(payload) * _BYTE_WEIGHT)
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None


def _values(data: object) -> int:
    count = 0
    waiting = [data]
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            count += sum(len(name) for name in value) // _BYTES_PER_VALUE
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            count += len(value) // _BYTES_PER_VALUE
    return count


def _guarded_check(schema: Any, others: dict[str, Any]) -> Callable[[Any], None]:
    # Few schemas need it, and its library takes one of the process's thread-local keys.
    from kafka_facade.kafka.schemas.json_schema_guard import guarded_check

    return guarded_check(schema, others)


def _fast_check(schema: Any, others: dict[str, Any]) -> Callable[[Any], None]:
    # Without a $schema it is draft 7, as with Confluent's serializers.
    draft = None if isinstance(schema, dict) and "$schema" in schema else jsonschema_rs.Draft7
    resources = [(uri, other) for name, other in others.items() for uri in _uris(schema, name)]
    registry = jsonschema_rs.Registry(resources, draft=draft) if resources else None
    make = jsonschema_rs.validator_for if draft is None else jsonschema_rs.Draft7Validator
    return make(schema, registry=registry, offline=True, pattern_options=PATTERNS).validate


def _uris(schema: Any, name: str) -> set[str]:
    """Under which URIs a reference may be looked up: from where the schema says it is, or from nowhere."""
    where = schema.get("$id") if isinstance(schema, dict) else None
    return {urljoin(base, name) for base in (where, _NOWHERE) if isinstance(base, str)} | {_NOWHERE + name}


def _shown(error: jsonschema_rs.ValidationError) -> str:
    path = "/".join(["#", *map(str, error.instance_path)])
    return f"{path}: {quote(error.message)}"
