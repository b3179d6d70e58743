"""The JSON Schema codec: validates JSON when it is produced.

jsonschema-rs cannot be interrupted and blocks all other threads. Therefore only values with a short, known maximum cost
are validated in this process; others are validated in a limited child process.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from kafka_facade.core.errors import InvalidRequest, Unavailable
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.decoding_budget import (
    BudgetExceeded,
    DecodingBudget,
    decodes_slowly_at_once,
    json_weight,
)
from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.port import TakesLong
from kafka_facade.schemas.json_schema_checkers import CheckEnded, Checkers, Crowded, NotASchema
from kafka_facade.schemas.json_schema_cost import MAX_PATTERN, cost
from kafka_facade.schemas.json_schema_job import Check, compile_check
from kafka_facade.schemas.json_schema_size import Work, work_per_value

# Limits of compiling (bytes), validating (keywords) and matching (bytes for each pattern) in this process, about 20 ms
# each. A text counts as one value for each _BYTES_PER_VALUE bytes.
_MAX_TEXT: Final = 64 * 1024
_MAX_MICROSECONDS: Final = 20_000
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_WORK: Final = 1_000_000
_MAX_MATCHED: Final = 16_000
_BYTES_PER_VALUE: Final = 32
# Each failure in an anyOf or oneOf becomes a Python object, which costs about a hundred times as much as the check.
_MAX_EXPLAINED: Final = 2_500
# Numbers of up to 64 bits are compared fast. Larger ones are compared by their digits, in an array with uniqueItems
# each pair of them; therefore their number and size are limited.
_LARGE: Final = 2**63
_LARGE_VALUES: Final = 32
_MOST_LARGE: Final = 16
_MOST_BITS: Final = 1024
_LARGE_NUMBER: Final = re.compile(rb"[0-9]{19}|[0-9]e[0-9]{2}")
# A schema with more keywords per value than this may be slow even for little data.
_COSTLY: Final = 200
_SCHEMA_ENDED: Final = "the schema takes too much time or memory to compile"
_ENDED: Final = "the data takes too much time or memory to validate"
_UNEXPLAINED: Final = "the data does not match the schema; finding the position takes too much time or memory"

_encode = msgspec.json.Encoder().encode
_decode = JsonDecoder().decode


class NamedText(Protocol):
    """A referenced schema, and the name of the reference."""

    @property
    def name(self) -> str:
        """The name that the reference uses."""

    @property
    def text(self) -> str:
        """The text of the schema."""


class JsonSchemaCodec:
    """Validates JSON values and encodes them as JSON. Never fetches remote schemas."""

    format = Format.JSONSCHEMA
    most_on_loop = 50_000

    def __init__(self, text: str, references: Sequence[NamedText], checkers: Checkers) -> None:
        """Raises ValueError for an invalid schema, and Unavailable. Blocks."""
        try:
            schema = _decode(text)
            others = {source.name: _decode(source.text) for source in references}
            self._source = _encode([schema, others])
            self._work = work_per_value(schema, others) if len(self._source) <= _MAX_TEXT else None
        except (msgspec.DecodeError, RecursionError, TypeError) as error:
            raise ValueError(f"not a valid JSON schema: {quote(error)}") from None
        self._key = blake2b(self._source, digest_size=32).digest()
        self._checkers = checkers
        self._here: Check | None = None
        self.memory = 2 * len(self._source)
        if self._work is not None and self._work.keywords <= _COSTLY:
            most = cost([schema, others])
            if (
                most.longest_pattern <= MAX_PATTERN
                and most.microseconds <= _MAX_MICROSECONDS
                and most.bytes <= _MAX_BYTES
            ):
                # The child process may still accept a schema that fails to compile with these limits.
                with contextlib.suppress(ValueError):
                    self._here = compile_check(schema, others, small=True)
                    self.memory += most.bytes
        if self._here is None or self._work is None:
            self.most_data_on_loop = -1
            self._check_elsewhere()
        else:
            self.most_data_on_loop = _most_data(self._work)
        title = schema.get("title") if isinstance(schema, dict) else None
        self.record_name = title if isinstance(title, str) else None

    def encode(self, data: object, *, on_loop: bool = False) -> bytes:
        """See the port."""
        try:
            encoded = _encode(data)
            valid = self._valid(data, encoded)
            if not valid:
                if on_loop:
                    raise TakesLong
                self._check_elsewhere(encoded, ended=_ENDED if valid is None else _UNEXPLAINED)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"Bad Request: {quote(error)}") from None
        return encoded

    def _valid(self, data: object, encoded: bytes) -> bool | None:
        """Return whether a value matches the schema; None if the check may take long.

        Raises ValueError with the position for an invalid value if finding the position is cheap.
        """
        if self._here is None or self._work is None:
            return None
        size, most = len(encoded), _MAX_WORK // self._work.keywords
        if size * self._work.patterns > _MAX_MATCHED:
            return None
        # Each value takes at least two bytes.
        if (size // 2 > most or _LARGE_NUMBER.search(encoded)) and not _has_few_values(data, most):
            return None
        if self._here.is_valid(data):
            return True
        if _has_few_values(data, _MAX_EXPLAINED // self._work.keywords):
            self._here.explain(data)
        return False

    def _check_elsewhere(self, value: bytes = b"", ended: str = _SCHEMA_ENDED) -> None:
        """Check a value, or the schema if there is none, in a child process.

        Raises ValueError, with the message ``ended`` if the check exceeded its limits.
        """
        try:
            self._checkers.check(self._key, self._source, value)
        except NotASchema as error:
            raise ValueError(str(error)) from None
        except CheckEnded:
            raise ValueError(ended) from None
        except Crowded:
            raise Unavailable("Checking with the schema takes long, and others wait; retry.") from None
        except OSError:
            raise Unavailable("No process for checking JSON schemas can be started.") from None

    def budget(self, size: int) -> DecodingBudget:
        """See the port."""
        return DecodingBudget(size)

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """Return the value of a JSON text. Raises ValueError for invalid JSON."""
        if budget is not None:
            budget.spend(json_weight(payload))
            if decodes_slowly_at_once(payload):
                raise BudgetExceeded
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"not valid JSON: {error}") from None


def _most_data(work: Work) -> int:
    """Return the maximum weight (see the port) of data that is cheap enough to validate in this process."""
    # Seven units are at most one value, and one unit is up to six bytes of JSON; a single value has dozens of bytes.
    most = min(50_000, 7 * (_MAX_WORK // work.keywords - 2))
    return min(most, (_MAX_MATCHED // work.patterns - 64) // 6) if work.patterns else most


def _has_few_values(data: object, most: int) -> bool:
    """Return whether data has at most ``most`` values; an expensive value counts as several."""
    large = 0
    waiting = [data]
    while waiting and most >= 0:
        value = waiting.pop()
        most -= 1
        if isinstance(value, dict):
            most -= sum(map(len, value)) // _BYTES_PER_VALUE
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            most -= len(value) // _BYTES_PER_VALUE
        elif isinstance(value, int | float) and not -_LARGE <= value < _LARGE:
            most -= _LARGE_VALUES
            if isinstance(value, int):
                large += 1
                if large > _MOST_LARGE or value.bit_length() > _MOST_BITS:
                    return False
    return most >= 0
