"""Options of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import integer, words


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """Operations, on all faces."""

    allowed: Sequence[str] = setting("api.endpoints.allowlist", "", words)
    """Comma-separated operations to serve, by the names that ``kafka-facade operations`` prints, or groups such as
    ``api.v3.topics.*``; empty means all."""

    blocked: Sequence[str] = setting("api.endpoints.blocklist", "", words)
    """Comma-separated operations, or groups of them, not to serve."""

    request_seconds: float = shared.REQUEST_TIMEOUT.field()

    batch_max_entries: int = setting("api.v3.produce.batch.maximum.entries", "10", integer(1, 10_000))
    """Maximum number of records in one ``records:batch`` request."""
