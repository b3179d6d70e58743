"""Checks values against JSON schemas, in this process and as the job of a limited child.

Imports nothing of this package. The job answers requests from its standard input, one after the other, until end of
file. A request is a head (``REQUEST``: slot of the schema, size of the schema, size of the value, CPU time in seconds),
the schema if it is not yet in its slot, and the value if there is one to check. An answer is a head (``ANSWER``:
outcome, size of the message) and the message. A request that exceeds its CPU time ends the process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin

import jsonschema_rs

REQUEST: Final = struct.Struct(">BIId")
ANSWER: Final = struct.Struct(">BI")
VALID, NO_SCHEMA, INVALID = range(3)
SECONDS: Final = 2.0
"""Maximum CPU time (s) for a schema or a value."""
CROWDED_SECONDS: Final = 0.5
"""The same while other schemas or values wait."""

# Base URI of schemas without $id (jsonschema-rs's convention).
_NOWHERE: Final = "json-schema:///"
_MAX_MESSAGE: Final = 1000
# Limits backtracking in patterns.
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=1024 * 1024)
# A pattern within this compiled size takes up to 2 microseconds for each byte of input. It can have neither look-around
# nor back-references, and its state cache has a limit in bytes.
_SMALL_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=16 * 1024, dfa_size_limit=32 * 1024)


class Check(NamedTuple):
    """A compiled schema."""

    is_valid: Callable[[Any], bool]
    """Return whether a value matches the schema."""
    explain: Callable[[Any], None]
    """Raise ValueError with the position for an invalid value. Expensive: creates an error for each failure in
    anyOf."""


def compile_check(schema: Any, others: dict[str, Any], *, small: bool = False) -> Check:
    """Compile a schema.

    ``others`` are the referenced schemas by name. Raises ValueError for an invalid schema, and with ``small`` for a
    pattern that may take long to match. Never fetches remote schemas.
    """
    # The default is draft 7, as in Confluent's serializers.
    draft = None if isinstance(schema, dict) and "$schema" in schema else jsonschema_rs.Draft7
    options = _SMALL_PATTERNS if small else _PATTERNS
    try:
        resources = [(uri, other) for name, other in others.items() for uri in _uris(schema, name)]
        registry = jsonschema_rs.Registry(resources, draft=draft) if resources else None
        make = jsonschema_rs.validator_for if draft is None else jsonschema_rs.Draft7Validator
        validator = make(schema, registry=registry, offline=True, pattern_options=options)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(_shown(error)) from None
    except (jsonschema_rs.ReferencingError, TypeError) as error:
        raise ValueError(f"not a valid JSON schema: {str(error)[:_MAX_MESSAGE]}") from None

    def explain(value: Any) -> None:
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            raise ValueError(_shown(error)) from None

    return Check(validator.is_valid, explain)


def _uris(schema: Any, name: str) -> set[str]:
    """Return the URIs of a reference, relative to the schema's $id and to the default base URI."""
    where = schema.get("$id") if isinstance(schema, dict) else None
    return {urljoin(base, name) for base in (where, _NOWHERE) if isinstance(base, str)} | {_NOWHERE + name}


def _shown(error: jsonschema_rs.ValidationError) -> str:
    path = "/".join(["#", *map(str, error.instance_path)])
    return f"{path[:_MAX_MESSAGE]}: {error.message[:_MAX_MESSAGE]}"


def main(arguments: list[str]) -> int:
    """Answer requests until end of file."""
    checks: dict[int, Check] = {}
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as peer, peer.makefile("rb") as requests:
        while head := requests.read(REQUEST.size):
            slot, schema_size, value_size, seconds = REQUEST.unpack(head)
            schema, value = requests.read(schema_size), requests.read(value_size)
            # The unhandled SIGPROF ends the process.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            outcome, message = _answer(checks, slot, schema, value)
            signal.setitimer(signal.ITIMER_PROF, 0)
            content = message.encode(errors="replace")
            peer.sendall(ANSWER.pack(outcome, len(content)) + content)
    return 0


def _answer(checks: dict[int, Check], slot: int, schema: bytes, value: bytes) -> tuple[int, str]:
    try:
        if schema:
            checks[slot] = compile_check(*json.loads(schema))
    except (ValueError, RecursionError) as error:
        return NO_SCHEMA, str(error)
    try:
        if value:
            checks[slot].explain(json.loads(value))
    except (ValueError, RecursionError) as error:
        return INVALID, str(error)
    return VALID, ""
