"""Custom scalars. An invalid value raises GraphQLError, which is reported as the caller's error."""

from __future__ import annotations

import base64
import binascii
import marshal
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from math import isfinite
from typing import Any, NewType

import msgspec
import strawberry
from graphql import (
    BooleanValueNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    print_ast,
)
from strawberry.scalars import JSON, Base64
from strawberry.types.scalar import ScalarDefinition

from kafka_facade.core.errors import DeserializationFailed, MalformedBody
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.long_values import LongJson, LongText, LongValue, marked
from kafka_facade_graphql.errors import Code, extensions_of
from kafka_facade_graphql.numbers import exact_number

BigInt = NewType("BigInt", int)

_encode = msgspec.json.Encoder().encode
_INT64 = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
# The version of marshal's format that does not look for objects that occur twice.
_WITHOUT_REFERENCES = 2
_MOST_LOOKED_AT = 20_000
# A variable may have hundreds of thousands of these values: no more is asked of each than its type.
_PLAIN = frozenset((str, int, bool, type(None)))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def from_millis(millis: int | None) -> datetime | None:
    """Convert a Kafka timestamp (Unix milliseconds); None for None, and outside of the range of datetime."""
    if millis is None:
        return None
    try:
        return _EPOCH + millis * _MILLISECOND
    except OverflowError:
        return None


def to_millis(time: datetime | None) -> int | None:
    """Convert to a Kafka timestamp (Unix milliseconds); a time without an offset is UTC."""
    if time is None:
        return None
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def _parse_big_int(value: Any) -> int:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value not in _INT64:
        raise GraphQLError(f"BigInt cannot represent {value!r}.")
    return value


def _parse_big_int_literal(node: ValueNode, _variables: Any = None) -> int:
    if not isinstance(node, IntValueNode | StringValueNode):
        raise GraphQLError(f"BigInt cannot represent {print_ast(node)}.", node)
    return _parse_big_int(node.value)


def _serialize_base64(value: bytes) -> object:
    long = marked(value)
    return base64.b64encode(value).decode() if long is value else long


def _parse_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise GraphQLError("Base64 must be a string.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise GraphQLError("Base64 cannot be decoded.") from None


def _serialize_json(value: Any) -> object:
    """Encode a value to JSON here, so that a failure affects only its field and not the whole response."""
    if isinstance(value, msgspec.Raw | LongJson | LongText | LongValue):
        return value
    try:
        return msgspec.Raw(_encode(value))
    except (ValueError, TypeError, RecursionError) as error:
        raise DeserializationFailed(f"The value can't be represented as JSON: {quote(error)}.") from None


def _parse_json(value: Any) -> Any:
    """Return JSON data; a msgspec.Raw with its text if it contains a number that a float would round.

    Looking at each entry would take a second for a million of them. That many can only come from the request's JSON.
    There marshal finds the numbers that are kept as text: it takes all other values of JSON, but no msgspec.Raw.
    """
    is_exact = True
    seen = 0
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict | list):
            seen += len(found)
            if seen > _MOST_LOOKED_AT:
                return value if _is_marshalled(value) else msgspec.Raw(_encode(value))
            entries = found.values() if isinstance(found, dict) else found
            waiting += [entry for entry in entries if type(entry) not in _PLAIN]
        elif isinstance(found, msgspec.Raw):
            is_exact = False
        elif isinstance(found, float):
            if not isfinite(found):
                raise _refused("JSON cannot represent a number that is not finite.")
        elif not isinstance(found, str | int | None) or isinstance(found, Enum):
            raise _refused(f"JSON cannot represent a value of the type {type(found).__name__}.")
    return value if is_exact else msgspec.Raw(_encode(value))


def _is_marshalled(value: Any) -> bool:
    try:
        marshal.dumps(value, _WITHOUT_REFERENCES)
    except ValueError:
        return False
    return True


def _parse_json_literal(node: ValueNode, variables: Mapping[str, Any] | None = None) -> Any:
    """The same for a literal; a variable without a value is omitted in an object, and null in a list."""
    return _parse_json(_json_of(node, variables or {}))


def _json_of(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    match node:
        case NullValueNode():
            return None
        case VariableNode():
            return variables.get(node.name.value)
        case ListValueNode():
            return [_json_of(entry, variables) for entry in node.values]
        case ObjectValueNode():
            return {
                entry.name.value: _json_of(entry.value, variables)
                for entry in node.fields
                if not isinstance(entry.value, VariableNode) or entry.value.name.value in variables
            }
        case IntValueNode() | FloatValueNode():
            try:
                return int(node.value) if isinstance(node, IntValueNode) else exact_number(node.value)
            except ValueError:
                raise _refused(f"JSON cannot represent {quote(node.value)}: it is out of range.", node) from None
        case BooleanValueNode() | StringValueNode():
            return node.value
    # GraphQL takes a bare name, such as NaN or True, for a value of an enum.
    message = (
        f"JSON cannot represent {quote(print_ast(node))}; texts are in quotation marks, true, false and null are not."
    )
    raise _refused(message, node)


def _refused(message: str, node: ValueNode | None = None) -> GraphQLError:
    return GraphQLError(message, node, extensions=extensions_of(MalformedBody(), Code.BAD_USER_INPUT))


SCALARS: dict[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description=(
            "A 64-bit signed integer, written as a JSON number; read as a number or as a decimal string. "
            "Values beyond 2^53 need a JSON parser that keeps them."
        ),
        serialize=int,
        parse_value=_parse_big_int,
        parse_literal=_parse_big_int_literal,
    ),
    Base64: strawberry.scalar(
        name="Base64",
        description="Bytes as base64 text (RFC 4648, section 4).",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc4648#section-4",
        serialize=_serialize_base64,
        parse_value=_parse_base64,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value (RFC 8259).",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc8259",
        serialize=_serialize_json,
        parse_value=_parse_json,
        parse_literal=_parse_json_literal,
    ),
}

__all__ = ["JSON", "SCALARS", "Base64", "BigInt", "from_millis", "to_millis"]
