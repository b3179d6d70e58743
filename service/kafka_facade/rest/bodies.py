"""Decodes the JSON bodies of requests, and says what is wrong with those that don't fit.

Types follow the API reference; a member that it doesn't name is an error (422). As in the official proxy, a text that
is a number or a boolean is taken as such, and a setting may be a text, a number or a boolean.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from kafka_facade.core.errors import InvalidPayload, MalformedBody, PayloadTooLarge
from kafka_facade.core.records.decoding_budget import weighs_more
from kafka_facade.core.records.json_text import is_json
from kafka_facade.rest.body_errors import explained

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

_OUT_OF_RANGE = "out of range"
_TRUNCATED = "Input data was truncated"

# What is decoded as one piece (see ``json_weight``), some 20 ms.
_MOST_WEIGHT: Final = 8 * 1024 * 1024

_Body = TypeVar("_Body")


# What JSON decodes to has no cycles: the garbage collector needn't look at it.
class StrictBody(Struct, forbid_unknown_fields=True, gc=False):
    """A body with the members that it names, and no others."""


Setting = str | int | float | bool | None


def setting_text(value: Setting) -> str | None:
    """A setting as text: callers write numbers and booleans too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _verbatim(literal: str) -> msgspec.Raw:
    return msgspec.Raw(literal.encode())


class BodyDecoder(Generic[_Body]):
    """Decodes bodies of one type; its errors are what the caller is told."""

    def __init__(self, type_: type[_Body]) -> None:
        self._type = type_
        self._decoder = msgspec.json.Decoder(type_, strict=False)
        # JSON bounds no number, floats do: where one doesn't fit, data keeps its numbers as they were written.
        self._exact = msgspec.json.Decoder(type_, strict=False, float_hook=_verbatim)

    def decode(self, body: bytes) -> _Body:
        """The body; MalformedBody, UnprocessableEntity for a member that doesn't exist."""
        try:
            try:
                return self._decoder.decode(body)
            except msgspec.ValidationError as error:
                if _OUT_OF_RANGE not in str(error):
                    raise
                return self._exact.decode(body)
        except msgspec.ValidationError as error:
            raise explained(str(error), self._type, body) from None
        except msgspec.DecodeError as error:
            if is_json(body):
                raise MalformedBody("An escape sequence in a string is half of a surrogate pair.") from None
            text = "Unexpected end of input: the JSON is incomplete" if str(error) == _TRUNCATED else str(error)
            raise MalformedBody(f"{text}.") from None
        except UnicodeDecodeError:
            raise MalformedBody("The body isn't UTF-8.") from None

    def required(self, body: bytes) -> _Body:
        """The body of a v3 request, which must be there; InvalidPayload where it isn't."""
        if is_blank(body):
            raise InvalidPayload
        return self._decode_small(body)

    def optional(self, body: bytes) -> _Body | None:
        """The body, or None where it is empty or null."""
        return None if is_blank(body) else self._decode_small(body)

    def _decode_small(self, body: bytes) -> _Body:
        """PayloadTooLarge for a body that would keep the loop from others: one without records never has so much."""
        if weighs_more(body, _MOST_WEIGHT):
            raise PayloadTooLarge("The body has too many values.")
        return self.decode(body)


_plain = msgspec.json.Decoder(float_hook=float)


def is_blank(body: bytes) -> bool:
    """Whether a body is empty, or null, which says the same."""
    return len(body) < 64 and body.strip() in (b"", b"null")


def plain_data(data: object) -> object:
    """Data without verbatim numbers, for formats that aren't JSON."""
    return _plain.decode(msgspec.json.encode(data))
