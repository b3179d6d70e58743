"""The records of the state topic as far as they have been read."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec

from kafka_facade.core.quoting import quote
from kafka_facade.core.state.records import NewerVersion, RecordDecoder, StateRecord

_Record = TypeVar("_Record", bound=StateRecord)

logger = logging.getLogger("kafka_facade.core")


@dataclass(frozen=True, slots=True)
class Newer:
    """Where a record of a version is that this gateway does not know."""

    key: str
    offset: int
    version: int


class StateView:
    """The latest record of each key.

    A value that is not a record counts as deleted, and is logged. A record of an unknown version counts as deleted too,
    but while there is one, nothing may be written: see :attr:`newer`.
    """

    def __init__(self, types: Iterable[type[StateRecord]]) -> None:
        self._decoder = RecordDecoder(types)
        self._records: dict[str, dict[str, StateRecord]] = defaultdict(dict)
        self._newer: dict[str, Newer] = {}

    @property
    def newer(self) -> Newer | None:
        """A record that only a newer gateway understands, if there is one."""
        return next(iter(self._newer.values()), None)

    def get(self, kind: type[_Record], identifier: str = "") -> _Record | None:
        """Return a record."""
        return cast("_Record | None", self._records[kind.prefix].get(identifier))

    def all(self, kind: type[_Record]) -> Mapping[str, _Record]:
        """Return the records of a type by their identifiers, in the order in which they were first written."""
        return cast("Mapping[str, _Record]", self._records[kind.prefix])

    def apply(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Apply a record of the topic. Records must come in order."""
        name = (key or b"").decode(errors="replace")
        prefix, _, identifier = name.partition("/")
        record = None
        self._newer.pop(name, None)
        if value is not None:
            try:
                record = self._decoder.decode(name, value)
            except NewerVersion as error:
                self._newer[name] = Newer(name, offset, error.version)
                logger.error(
                    "the state topic has a record of version %d at offset %d (key %s): only a newer gateway can write",
                    error.version,
                    offset,
                    quote(name),
                )
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                logger.error(
                    "the state topic has no valid record at offset %d (key %s): %s", offset, quote(name), error
                )
        if record is None:
            self._records[prefix].pop(identifier, None)
        else:
            self._records[prefix][identifier] = record
