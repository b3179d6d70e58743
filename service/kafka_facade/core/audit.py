"""The audit log: what the leader does in the background, who asked for it, and what has come of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec

logger = logging.getLogger("kafka_facade.audit")

GATEWAY: Final = "kafka-facade"
"""The caller of what no caller has asked for, such as replacing the replicas of a broker that is down."""
_UNKNOWN: Final = "unknown"


def audit(
    event: str,
    outcome: str,
    *,
    callers: Iterable[str | None],
    brokers: Iterable[int],
    tasks: Iterable[str] = (),
    **details: int | str | None,
) -> None:
    """Log one line, whose message is a JSON object. Details that are None are left out.

    A caller that is None is unknown: an older gateway has written the record.
    """
    line: dict[str, object] = {
        "event": event,
        "outcome": outcome,
        "callers": sorted({caller or _UNKNOWN for caller in callers}),
        "tasks": list(tasks),
        "brokers": sorted(brokers),
    }
    line |= {name: value for name, value in details.items() if value is not None}
    logger.info("%s", msgspec.json.encode(line).decode())
