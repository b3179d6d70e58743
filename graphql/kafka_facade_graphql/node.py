"""Relay node ids, made of the type name and the resource's identifiers (Relay, "Global Object Identification")."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote, unquote

from kafka_facade.core.errors import InvalidRequest

# Kafka's texts have at most 32,767 bytes, each of which takes up to 3 characters. The ids of group members have two of
# them, the group's id and their own; the rest of an id takes less than 1,000 bytes.
_LONGEST: Final = (2 * 3 * 32_767 + 1000) // 3 * 4
_MOST_PARTS: Final = 4


def local_id(*parts: str | int) -> str:
    """Return the part of an id that identifies a resource within its type."""
    return "/".join(quote(str(part), safe="") for part in parts)


def parse_id(text: str) -> tuple[str, list[str]]:
    """Return the type name and the parts of a node id. Raises InvalidRequest for an invalid id."""
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        type_name, _, parts = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        raise InvalidRequest("The id is not a valid node id.", field="id") from None
    return type_name, [unquote(part) for part in parts.split("/", _MOST_PARTS)]
