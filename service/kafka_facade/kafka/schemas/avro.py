"""The Avro codec: a schema text with its references becomes an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.resources import Format
from kafka_facade.kafka.schemas.avro_decoding import AvroReader, compile_decoder
from kafka_facade.kafka.schemas.avro_encoding import AvroMismatch, compile_encoder

_PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class AvroCodec:
    """Values in Avro's JSON encoding to its binary encoding, and back."""

    format = Format.AVRO
    costly = False

    def __init__(self, text: str, references: Sequence[str] = ()) -> None:
        """ValueError for what is no schema. ``references`` come before those that refer to them."""
        named: dict[str, Any] = {}
        try:
            for reference in references:
                parse_schema(_read(reference), named_schemas=named)
            schema = parse_schema(_read(text), named_schemas=named)
            self._encode = compile_encoder(schema, named)
            self._decode = compile_decoder(schema, named)
        except (SchemaParseException, UnknownType) as error:
            raise ValueError(str(error)) from None
        # What fastavro and the compilers look up in a schema that has another form.
        except (TypeError, KeyError, AttributeError, msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no Avro schema: {error}") from None
        self.record_name: str | None = None
        if isinstance(schema, dict) and schema["type"] in ("record", "error"):
            self.record_name = schema["name"]

    def encode(self, data: object) -> bytes:
        """The binary encoding of JSON data; InvalidRequest where it isn't of the schema."""
        out = bytearray()
        try:
            self._encode(data, out)
        except AvroMismatch as error:
            raise InvalidRequest(f"Bad Request: {error}") from None
        except (RecursionError, UnicodeEncodeError) as error:
            raise InvalidRequest(f"Bad Request: the data can't be encoded: {error}") from None
        return bytes(out)

    def decode(self, payload: bytes) -> object:
        """The JSON encoding of a payload; ValueError where it isn't of the schema."""
        reader = AvroReader(payload)
        try:
            return self._decode(reader)
        except RecursionError:
            raise ValueError("the data is nested too deeply") from None


def _read(text: str) -> Any:
    # A primitive may stand without quotes.
    return text if text in _PRIMITIVES else msgspec.json.decode(text)
