"""The JSON Schema codec: JSON that is checked against its schema when it is produced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urljoin

import jsonschema_rs
import msgspec

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.resources import Format

# Where a schema is that doesn't say it (the library's own convention).
_NOWHERE: Final = "json-schema:///"
# A pattern may not backtrack for ever.
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
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
            resources = [(name, _decode(source.text)) for source in references for name in _names(schema, source.name)]
            # Without a $schema it is draft 7, as with Confluent's serializers.
            draft = None if isinstance(schema, dict) and "$schema" in schema else jsonschema_rs.Draft7
            registry = jsonschema_rs.Registry(resources, draft=draft) if resources else None
            make = jsonschema_rs.validator_for if draft is None else jsonschema_rs.Draft7Validator
            self._validator = make(schema, registry=registry, offline=True, pattern_options=_PATTERNS)
        except jsonschema_rs.ValidationError as error:
            raise ValueError(_shown(error)) from None
        except (jsonschema_rs.ReferencingError, msgspec.DecodeError, RecursionError, TypeError) as error:
            raise ValueError(f"no JSON schema: {error}") from None
        title = schema.get("title") if isinstance(schema, dict) else None
        self.record_name = title if isinstance(title, str) else None
        # References multiply: a short schema can take very long to check.
        self.costly = "Ref" in text or "$ref" in text

    def encode(self, data: object) -> bytes:
        """The JSON text of a value; InvalidRequest where it isn't of the schema."""
        try:
            self._validator.validate(data)
            return _encode(data)
        except jsonschema_rs.ValidationError as error:
            raise InvalidRequest(f"Bad Request: {_shown(error)}") from None
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"Bad Request: the data can't be checked: {error}") from None

    def decode(self, payload: bytes) -> object:
        """The value of a JSON text; ValueError where it is none."""
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None


def _names(schema: Any, name: str) -> set[str]:
    """The URIs under which a reference may be looked up: from where the schema says it is, or from nowhere."""
    where = schema.get("$id") if isinstance(schema, dict) else None
    return {urljoin(base, name) for base in (where, _NOWHERE) if isinstance(base, str)} | {_NOWHERE + name}


def _shown(error: jsonschema_rs.ValidationError) -> str:
    path = "/".join(["#", *map(str, error.instance_path)])
    return f"{path}: {error.message[:_MAX_MESSAGE]}"
