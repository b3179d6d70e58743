"""The JSON Schema codec: JSON that is checked against its schema when it is produced.

jsonschema-rs is fast, can't be stopped, and lets no other thread run: in this process it checks what is surely done in
a moment. What may take longer is checked in a limited child process.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from kafka_facade.core.errors import InvalidRequest, Unavailable
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.decoding_budget import DecodingBudget, json_weight
from kafka_facade.core.records.model import Format
from kafka_facade.schemas.json_schema_checkers import CheckEnded, Checkers, NotASchema
from kafka_facade.schemas.json_schema_job import compile_check
from kafka_facade.schemas.json_schema_size import Work, work_per_value

# What is compiled (bytes), checked (keywords) and matched (bytes, for each pattern) in this process, some 20 ms. A
# text counts as one value for each so many bytes.
_MAX_TEXT: Final = 64 * 1024
_MAX_WORK: Final = 1_000_000
_MAX_MATCHED: Final = 16_000
_BYTES_PER_VALUE: Final = 32
# A schema that asks more of one value than this may be slow for little data.
_COSTLY: Final = 200

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class NamedText(Protocol):
    """A schema that another one refers to by this name."""

    @property
    def name(self) -> str:
        """What the reference calls it."""

    @property
    def text(self) -> str:
        """The schema."""


class JsonSchemaCodec:
    """JSON values to JSON texts, and back. Nothing is fetched from anywhere."""

    format = Format.JSONSCHEMA
    most_on_loop = 50_000

    def __init__(self, text: str, references: Sequence[NamedText], checkers: Checkers) -> None:
        """ValueError for what is no schema, Unavailable. Blocks."""
        try:
            schema = _decode(text)
            others = {source.name: _decode(source.text) for source in references}
            self._source = _encode([schema, others])
            self._work = work_per_value(schema, others) if len(self._source) <= _MAX_TEXT else None
        except (msgspec.DecodeError, RecursionError, TypeError) as error:
            raise ValueError(f"no JSON schema: {quote(error)}") from None
        self._key = blake2b(self._source, digest_size=32).digest()
        self._checkers = checkers
        if self._work is None or self._work.keywords > _COSTLY:
            self.most_data_on_loop = -1
            self._here = None
            self._check_elsewhere()
        else:
            self.most_data_on_loop = _most_data(self._work)
            self._here = compile_check(schema, others)
        title = schema.get("title") if isinstance(schema, dict) else None
        self.record_name = title if isinstance(title, str) else None

    def encode(self, data: object) -> bytes:
        """The JSON text of a value; InvalidRequest where it isn't of the schema."""
        try:
            encoded = _encode(data)
            if self._here is not None and self._is_done_soon(data, len(encoded)):
                self._here(data)
            else:
                self._check_elsewhere(encoded)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"Bad Request: {quote(error)}") from None
        return encoded

    def _is_done_soon(self, data: object, size: int) -> bool:
        if self._work is None:
            return False
        most = _MAX_WORK // self._work.keywords
        # Each value has two bytes at least.
        return size * self._work.patterns <= _MAX_MATCHED and (size // 2 <= most or _values(data) <= most)

    def _check_elsewhere(self, value: bytes = b"") -> None:
        """Check a value, or without one the schema; ValueError."""
        try:
            self._checkers.check(self._key, self._source, value)
        except NotASchema as error:
            raise ValueError(str(error)) from None
        except CheckEnded:
            what = "the data" if value else "the schema"
            raise ValueError(f"{what} takes too much time or memory to be checked") from None
        except OSError:
            raise Unavailable("No process can be started that checks JSON schemas.") from None

    def budget(self, size: int) -> DecodingBudget:
        """See the port."""
        return DecodingBudget(size)

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """The value of a JSON text; ValueError where it is none."""
        if budget is not None:
            budget.spend(json_weight(payload))
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None


def _most_data(work: Work) -> int:
    """The weight (see the port) of data that is surely done soon."""
    # Seven of it are a value at the most, and one is up to six bytes of JSON; a value alone has some dozens.
    most = min(50_000, 7 * (_MAX_WORK // work.keywords - 2))
    return min(most, (_MAX_MATCHED // work.patterns - 64) // 6) if work.patterns else most


def _values(data: object) -> int:
    count = 0
    waiting = [data]
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            count += sum(len(name) for name in value) // _BYTES_PER_VALUE
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            count += len(value) // _BYTES_PER_VALUE
    return count
