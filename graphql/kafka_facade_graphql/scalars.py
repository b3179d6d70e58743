"""Scalars that GraphQL itself lacks. A value that isn't of its scalar is a GraphQLError, and so the caller's."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, IntValueNode, StringValueNode, ValueNode, print_ast
from strawberry.scalars import JSON, Base64
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)

_INT64 = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def from_millis(millis: int | None) -> datetime | None:
    """The time of a Kafka timestamp (ms since 1970 UTC); None for none, and for one that no calendar has."""
    if millis is None:
        return None
    try:
        return _EPOCH + millis * _MILLISECOND
    except OverflowError:
        return None


def to_millis(time: datetime | None) -> int | None:
    """The Kafka timestamp (ms since 1970 UTC) of a time; one without an offset is UTC."""
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


def _parse_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise GraphQLError("Base64 must be a string.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise GraphQLError("Base64 cannot be decoded.") from None


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
        serialize=lambda value: base64.b64encode(value).decode(),
        parse_value=_parse_base64,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value (RFC 8259).",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc8259",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}

__all__ = ["JSON", "SCALARS", "Base64", "BigInt", "from_millis", "to_millis"]
