"""Content negotiation (RFC 9110, 12.5.1): the request bodies that an operation takes, and the type of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType
from kafka_facade.web.media_types import LATIN_1, UNICODE, best_range, parse_accept, parse_media_type

JSON: Final = "application/json"
V2_JSON: Final = "application/vnd.kafka.v2+json"
KAFKA_JSON: Final = "application/vnd.kafka+json"
OCTET_STREAM: Final = "application/octet-stream"

# The embedded formats: as media types spell them, and as operation identifiers do.
EMBEDDED: Final = {
    "binary": "binary",
    "json": "json",
    "avro": "avro",
    "jsonschema": "json-schema",
    "protobuf": "protobuf",
}


def embedded_type(format: str) -> str:
    """The v2 media type of an embedded format, e.g. ``application/vnd.kafka.avro.v2+json``."""
    return f"application/vnd.kafka.{format}.v2+json"


@lru_cache(maxsize=512)
def choose(accept: str | None, offers: tuple[str, ...]) -> tuple[str, str] | None:
    """The offer that the caller likes best, the earlier one where that is a draw; None if it accepts none.

    With it the content type of the answer, which repeats the parameters that the caller gave the type.
    """
    if accept is None or not accept.strip():
        return offers[0], offers[0]
    ranges = parse_accept(accept)
    chosen, highest = None, 0.0
    for offer in offers:
        range_ = best_range(offer, ranges)
        if range_ is not None and range_.quality > highest:
            parameters = range_.parameters if range_.type == offer else ""
            chosen, highest = (offer, offer + parameters), range_.quality
    return chosen


@dataclass(frozen=True, slots=True)
class Contract:
    """What a path and method take and give. The types may choose between operations that share them.

    ``bodies`` maps the media types of request bodies, ``answers`` those of answers in order of preference; a None in
    the place of the operation leaves the choice to the other of the two. ``bodies`` None doesn't look at the body.
    ``latin_1`` is whether bodies may be in ISO-8859-1.
    """

    operation: Operation
    answers: Mapping[str, Operation | None]
    bodies: Mapping[str, Operation | None] | None
    offers: tuple[str, ...]
    latin_1: bool

    def select(self, content_type: str | None, accept: str | None) -> tuple[Operation, str]:
        """The operation, and the content type of its answer; UnsupportedMediaType, NotAcceptable.

        InvalidRequest for a charset that bodies can't have.
        """
        operation = self.operation
        if self.bodies is not None and content_type is not None:
            operation = self._by_body(content_type) or operation
        answer = choose(accept, self.offers)
        if answer is None:
            raise NotAcceptable
        return self.answers[answer[0]] or operation, answer[1]

    def _by_body(self, content_type: str) -> Operation | None:
        bodies = self.bodies or {}
        if content_type in bodies:
            return bodies[content_type]
        parsed = _parse_content_type(content_type)
        if parsed is None or parsed.type not in bodies:
            raise UnsupportedMediaType
        charset = parsed.charset or "utf-8"
        if charset not in UNICODE and not (self.latin_1 and charset in LATIN_1):
            if self.latin_1:
                raise InvalidRequest("The charset in Content-Type must be UTF-8 or ISO-8859-1.")
            raise UnsupportedMediaType
        return bodies[parsed.type]

    def is_latin_1(self, content_type: str | None) -> bool:
        """Whether a body of this type is in ISO-8859-1, and not in UTF-8."""
        if not self.latin_1 or content_type is None or content_type == JSON:
            return False
        parsed = _parse_content_type(content_type)
        return parsed is not None and parsed.charset in LATIN_1


_parse_content_type = lru_cache(maxsize=512)(parse_media_type)


def _contract(
    operation: Operation,
    answers: Mapping[str, Operation | None],
    bodies: Mapping[str, Operation | None] | None,
    *,
    latin_1: bool = False,
) -> Contract:
    return Contract(operation, answers, bodies, tuple(answers), latin_1)


_V2_ANSWERS: Mapping[str, Operation | None] = dict.fromkeys((V2_JSON, KAFKA_JSON, JSON))
_V2_BODIES: Mapping[str, Operation | None] = dict.fromkeys((V2_JSON, KAFKA_JSON, *map(embedded_type, EMBEDDED)))
# Whoever names an instance's format in each of its requests is understood.
_CONSUMER_ANSWERS: Mapping[str, Operation | None] = {**_V2_ANSWERS, **dict.fromkeys(map(embedded_type, EMBEDDED))}


def contract_for(operations: Sequence[Operation]) -> Contract:
    """The contract of the operations that share a path and a method."""
    first = operations[0]
    takes_body = first.method in ("POST", "PUT", "PATCH")
    if first.identifier.startswith("api.v3."):
        return _contract(first, {JSON: None}, {JSON: None} if takes_body else None, latin_1=takes_body)
    if len(operations) == 1:
        answers = _CONSUMER_ANSWERS if first.identifier.startswith("api.v2.consumers.") else _V2_ANSWERS
        return _contract(first, answers, _V2_BODIES if takes_body else None)
    embedded = {
        embedded_type(format): operation
        for format, name in EMBEDDED.items()
        for operation in operations
        if operation.identifier.endswith((f".{name}", f"-{name}"))
    }
    binary = embedded[embedded_type("binary")]
    if first.method == "GET":
        # The official proxy's order of preference, and then what it doesn't offer.
        preferred = {embedded_type("binary"): binary, V2_JSON: binary}
        return _contract(binary, {**preferred, **embedded, KAFKA_JSON: binary, JSON: binary}, None)
    bodies = {**embedded, V2_JSON: binary, KAFKA_JSON: binary, JSON: binary, OCTET_STREAM: binary}
    return _contract(binary, _V2_ANSWERS, bodies)
