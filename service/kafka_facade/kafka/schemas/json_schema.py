"""The JSON Schema codec: JSON that is checked against its schema when it is produced.

jsonschema-rs is fast, and can't be stopped: it checks what can't take long. What can, because references multiply or
lead in circles, is for jsonschema, which lets other threads run and is held to a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urljoin

import jsonschema_rs
import msgspec

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.resources import Format
from kafka_facade.kafka.schemas.json_schema_options import PATTERNS
from kafka_facade.kafka.schemas.json_schema_size import expanded_size

# Where a schema is that doesn't say it (jsonschema-rs's own convention).
_NOWHERE: Final = "json-schema:///"
# The parts of a schema, references counted as what they refer to, times the bytes of a value: a second or so.
_MAX_WORK: Final = 1_000_000_000
_MAX_MESSAGE: Final = 1000

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

    def __init__(self, text: str, references: Sequence[NamedText] = ()) -> None:
        """ValueError for what is no schema."""
        try:
            schema = _decode(text)
            others = {source.name: _decode(source.text) for source in references}
            size = expanded_size(schema, others)
            self.costly = size is None
            self._max_bytes = _MAX_WORK if size is None else _MAX_WORK // size
            self._check = (_guarded_check if size is None else _fast_check)(schema, others)
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
            if len(encoded) > self._max_bytes:
                raise InvalidRequest("Bad Request: the data is too large for its schema to be checked")
            self._check(data)
            return encoded
        except jsonschema_rs.ValidationError as error:
            raise InvalidRequest(f"Bad Request: {_shown(error)}") from None
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"Bad Request: {str(error)[:_MAX_MESSAGE]}") from None

    def decode(self, payload: bytes) -> object:
        """The value of a JSON text; ValueError where it is none."""
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None


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
    return f"{path}: {error.message[:_MAX_MESSAGE]}"
