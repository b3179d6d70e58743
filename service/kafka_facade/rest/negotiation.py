"""Content negotiation (RFC 9110, 12.5.1): media types of request bodies and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType
from kafka_facade.web.cached import cached
from kafka_facade.web.media_types import LATIN_1, UNICODE, best_range, parse_accept, parse_media_type

JSON: Final = "application/json"
V2_JSON: Final = "application/vnd.kafka.v2+json"
KAFKA_JSON: Final = "application/vnd.kafka+json"
OCTET_STREAM: Final = "application/octet-stream"

# The embedded formats: their names in media types, and in operation identifiers.
EMBEDDED: Final = {
    "binary": "binary",
    "json": "json",
    "avro": "avro",
    "jsonschema": "json-schema",
    "protobuf": "protobuf",
}


def embedded_type(format: str) -> str:
    """The v2 media type of an embedded format, such as ``application/vnd.kafka.avro.v2+json``."""
    return f"application/vnd.kafka.{format}.v2+json"


@cached(512)
def choose(accept: str | None, offers: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the offer that the caller prefers (of equal ones the first) and the content type; None if none matches.

    The content type repeats the parameters that the caller gave with the media type.
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
    """The media types of a path and method; they may select one of several operations with the same path and method.

    ``bodies`` maps media types of request bodies to operations, ``answers`` those of responses in order of preference.
    If one maps to None, the other determines the operation. With ``bodies`` of None the body's type is ignored.
    ``latin_1`` is whether bodies may be in ISO-8859-1.
    """

    operation: Operation
    answers: Mapping[str, Operation | None]
    bodies: Mapping[str, Operation | None] | None
    offers: tuple[str, ...]
    latin_1: bool

    def select(self, content_type: str | None, accept: str | None) -> tuple[Operation, str]:
        """Return the operation and the content type of the response.

        Raises UnsupportedMediaType, NotAcceptable, and InvalidRequest for an unsupported charset.
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
        """Return whether a body of this type is in ISO-8859-1 instead of UTF-8."""
        if not self.latin_1 or content_type is None or content_type == JSON:
            return False
        parsed = _parse_content_type(content_type)
        return parsed is not None and parsed.charset in LATIN_1


_parse_content_type = cached(512)(parse_media_type)


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
# Accept the media types of embedded formats in all requests of consumer instances.
_CONSUMER_ANSWERS: Mapping[str, Operation | None] = {**_V2_ANSWERS, **dict.fromkeys(map(embedded_type, EMBEDDED))}


def contract_for(operations: Sequence[Operation]) -> Contract:
    """Return the contract of the operations that share a path and a method."""
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
        # The official proxy's order of preference, followed by types that it does not offer.
        preferred = {embedded_type("binary"): binary, V2_JSON: binary}
        return _contract(binary, {**preferred, **embedded, KAFKA_JSON: binary, JSON: binary}, None)
    bodies = {**embedded, V2_JSON: binary, KAFKA_JSON: binary, JSON: binary, OCTET_STREAM: binary}
    return _contract(binary, _V2_ANSWERS, bodies)
