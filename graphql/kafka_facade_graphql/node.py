"""Relay node ids, made of the type name and the resource's identifiers (Relay, "Global Object Identification")."""

from __future__ import annotations

from urllib.parse import quote, unquote

from strawberry.relay import GlobalID
from strawberry.relay.types import GlobalIDValueError

from kafka_facade.core.errors import InvalidRequest


def local_id(*parts: str | int) -> str:
    """Return the part of an id that identifies a resource within its type."""
    return "/".join(quote(str(part), safe="") for part in parts)


def parse_id(text: str) -> tuple[str, list[str]]:
    """Return the type name and the parts of a node id. Raises InvalidRequest for an invalid id."""
    try:
        found = GlobalID.from_id(text)
    except (GlobalIDValueError, UnicodeDecodeError):
        raise InvalidRequest("The id is not a valid node id.", field="id") from None
    return found.type_name, [unquote(part) for part in found.node_id.split("/")]
