"""Decoding and validation of JSON request bodies.

Types follow the API reference; an unknown member is an error (422). As in the official proxy, a string that contains a
number or boolean is accepted as one, and a setting may be a string, a number or a boolean.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from kafka_facade.core.errors import InvalidPayload, MalformedBody, PayloadTooLarge
from kafka_facade.core.limits import BODY_WEIGHT
from kafka_facade.core.records.decoding_budget import weighs_more
from kafka_facade.core.records.json_numbers import JsonDecoder, Text, slow_numbers
from kafka_facade.core.records.json_text import is_json
from kafka_facade.rest.body_errors import explained

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

_OUT_OF_RANGE = "out of range"
# Slow numbers of a body without records, which may have fields of the type float: about 10 ms.
_MOST_SLOW = 1_000
_TRUNCATED = "Input data was truncated"

_Body = TypeVar("_Body")


# Decoded JSON has no cycles, so exclude it from garbage collection.
class StrictBody(Struct, forbid_unknown_fields=True, gc=False):
    """A body that rejects unknown members."""


Setting = str | int | float | bool | None


def setting_text(value: Setting) -> str | None:
    """Convert a setting, which may be a number or boolean, to text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _verbatim(literal: str) -> msgspec.Raw:
    return msgspec.Raw(literal.encode())


class BodyDecoder(Generic[_Body]):
    """Decodes bodies of one type and raises errors for the caller."""

    def __init__(self, type_: type[_Body]) -> None:
        self._type = type_
        self._decoder = JsonDecoder(type_, strict=False)
        # If a number exceeds the range of a float, decode again and keep numbers as JSON text.
        self._exact = msgspec.json.Decoder(type_, strict=False, float_hook=_verbatim)

    def decode(self, body: Text) -> _Body:
        """Decode a body. Raises MalformedBody, and UnprocessableEntity for an unknown member."""
        try:
            try:
                return self._decoder.decode(body)
            except msgspec.ValidationError as error:
                if _OUT_OF_RANGE not in str(error):
                    raise
                return self._exact.decode(body)
        except msgspec.ValidationError as error:
            raise explained(str(error), self._type, bytes(body)) from None
        except msgspec.DecodeError as error:
            if is_json(bytes(body)):
                raise MalformedBody("An escape sequence in a string is half of a surrogate pair.") from None
            text = "Unexpected end of input: the JSON is incomplete" if str(error) == _TRUNCATED else str(error)
            raise MalformedBody(f"{text}.") from None
        except UnicodeDecodeError:
            raise MalformedBody("The body isn't UTF-8.") from None

    def required(self, body: bytes) -> _Body:
        """Decode the required body of a v3 request. Raises InvalidPayload if it is missing."""
        if is_blank(body):
            raise InvalidPayload
        return self._decode_small(body)

    def optional(self, body: bytes) -> _Body | None:
        """Decode a body, or return None if it is empty or null."""
        return None if is_blank(body) else self._decode_small(body)

    def _decode_small(self, body: bytes) -> _Body:
        """Decode a body. Raises PayloadTooLarge if it would block the event loop; bodies without records never do."""
        if weighs_more(body, BODY_WEIGHT) or slow_numbers(body) > _MOST_SLOW:
            raise PayloadTooLarge("The body has too many values.")
        return self.decode(body)


def _number(literal: str) -> float:
    """Parse a number. This is not the type float, so that other threads can run between numbers."""
    return float(literal)


_plain = msgspec.json.Decoder(float_hook=_number)


def is_blank(body: bytes) -> bool:
    """Return whether a body is empty or null, which are equivalent."""
    return len(body) < 64 and body.strip() in (b"", b"null")


def plain_data(data: object) -> object:
    """Convert numbers kept as JSON text to plain ones, for formats other than JSON."""
    return _plain.decode(msgspec.json.encode(data))
