"""Extracts the needed members of the Schema Registry's responses without decoding the others."""

from __future__ import annotations

from typing import Final

import msgspec

from kafka_facade.schemas.bounded_http import SMALL_ANSWER, BadAnswer

NOT_OF_THE_API: Final = "the response doesn't match the Schema Registry's API"
MAX_SUBJECTS: Final = 10_000
_MAX_REFERENCES: Final = 10_000
# Maximum number of names in a response; not all of them are valid subjects.
_MAX_NAMES: Final = 100_000
_NULL: Final = msgspec.Raw(b"null")


class _Reference(msgspec.Struct):
    name: str | None = None
    subject: str | None = None
    version: int | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    """A schema, or a version of a subject."""

    id: int | None = None
    guid: str | None = None
    subject: str | None = None
    version: int | None = None
    schema: str | None = None
    schema_type: str | None = msgspec.field(default=None, name="schemaType")
    references: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL
    rule_set: msgspec.Raw = msgspec.field(default=_NULL, name="ruleSet")


_answer: Final = msgspec.json.Decoder(_Answer | list[str])
_references: Final = msgspec.json.Decoder(list[_Reference] | None)
_encode: Final = msgspec.json.Encoder().encode


def reduced(content: bytes) -> bytes:
    """Return the needed part of a successful response. Raises BadAnswer if the content does not match the API."""
    if content.lstrip()[:1] == b"[" and content.count(b",") > _MAX_NAMES:
        raise BadAnswer(f"the response has more than {_MAX_NAMES} names")
    try:
        answer = _answer.decode(content)
        if isinstance(answer, list):
            return _encode(answer[:MAX_SUBJECTS])
        if max(len(bytes(part)) for part in (answer.metadata, answer.rule_set)) > SMALL_ANSWER:
            raise BadAnswer(f"the metadata or the rules of the schema are larger than {SMALL_ANSWER} bytes")
        references = bytes(answer.references)
        if references.count(b"{") > _MAX_REFERENCES:
            raise BadAnswer(f"the schema has more than {_MAX_REFERENCES} references")
        answer.references = msgspec.Raw(_encode(_references.decode(references)))
        return _encode(answer)
    except (msgspec.ValidationError, RecursionError):
        raise BadAnswer(NOT_OF_THE_API) from None
    except msgspec.DecodeError:
        if len(content) > SMALL_ANSWER:
            raise BadAnswer(NOT_OF_THE_API) from None
        # The client's JSON parser is more lenient, for example about lone surrogates.
        return content
