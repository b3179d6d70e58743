"""The records of the state topic: JSON objects with a version, under keys such as ``exclusion/3``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec
from msgspec import Raw, Struct

VERSION: Final = 1
"""The version of all records that this gateway reads and writes."""


class StateRecord(Struct, kw_only=True, frozen=True):
    """Base of all records. Readers ignore unknown fields; a change that they must not ignore is a new ``v``.

    ``prefix`` is the first part of the key; the second part identifies the record among those of its type.
    """

    prefix: ClassVar[str]
    v: int = VERSION

    def check(self, identifier: str) -> None:
        """Raise msgspec.ValidationError if the record makes no sense under a key with this second part."""


class LeaderRecord(StateRecord, frozen=True):
    """The worker that writes the topic: its host and process, and since when (Unix ms)."""

    prefix: ClassVar[str] = "leader"
    node: str
    since_ms: int


class RequestRecord(StateRecord, frozen=True):
    """A change that another worker asks the leader for. ``deadline_ms`` is in Unix ms; it is not begun after that."""

    prefix: ClassVar[str] = "request"
    kind: str
    deadline_ms: int
    body: Raw


class AnswerRecord(StateRecord, frozen=True):
    """The answer to the request with the same id: a ``body``, or the ``reason`` and ``message`` of an error."""

    prefix: ClassVar[str] = "answer"
    at_ms: int
    body: Raw = Raw(b"{}")
    reason: str | None = None
    message: str | None = None


Writes = Mapping[str, StateRecord | None]
"""Records to write, by key; None deletes the record."""

_BROKER_ID: Final = re.compile("0|[1-9][0-9]{0,9}")
_OWN: Final[tuple[type[StateRecord], ...]] = (LeaderRecord, RequestRecord, AnswerRecord)


def key_of(kind: type[StateRecord], identifier: object = "") -> str:
    """Return the key of a record."""
    return f"{kind.prefix}/{identifier}" if identifier != "" else kind.prefix


def is_broker_id(text: str) -> bool:
    """Return whether the text is a broker id, as this gateway writes it in keys."""
    return _BROKER_ID.fullmatch(text) is not None and int(text) < 2**31


def encode(record: StateRecord) -> bytes:
    """Return the value of a record."""
    return msgspec.json.encode(record)


class NewerVersion(Exception):
    """A newer gateway wrote the record."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class _Envelope(Struct):
    v: int


_envelope: Final = msgspec.json.Decoder(_Envelope)


class RecordDecoder:
    """Decodes the records of the topic, of this room's types and those of the families that keep state."""

    def __init__(self, types: Iterable[type[StateRecord]]) -> None:
        self._decoders = {kind.prefix: msgspec.json.Decoder(kind) for kind in (*_OWN, *types)}

    def decode(self, key: str, value: bytes) -> StateRecord | None:
        """Return the record, or None if its key has no meaning here.

        Raises NewerVersion, and msgspec.MsgspecError, UnicodeDecodeError or RecursionError if the value is not a record
        that makes sense.
        """
        version = _envelope.decode(value).v
        if version < VERSION:
            raise msgspec.ValidationError(f"Invalid version {version}")
        if version > VERSION:
            raise NewerVersion(version)
        prefix, _, identifier = key.partition("/")
        decoder = self._decoders.get(prefix)
        if decoder is None:
            return None
        record = decoder.decode(value)
        record.check(identifier)
        return record
