"""Checks of text that is sent to Kafka.

The protocol stores the length of a string in 15 bits, and librdkafka ends strings at U+0000. A longer text breaks the
shared connection to the broker; a text with U+0000 arrives truncated.
"""

from __future__ import annotations

from typing import Final

from kafka_facade.core.errors import InvalidKafkaRequest

MOST_BYTES: Final = 2**15 - 1
"""Maximum length of a text in bytes of UTF-8."""


def is_possible(text: str) -> bool:
    """Return whether the text can be sent to Kafka unchanged."""
    try:
        return "\0" not in text and len(text.encode()) <= MOST_BYTES
    except UnicodeEncodeError:
        return False


def check_text(text: str | None, field: str) -> None:
    """Raise InvalidKafkaRequest if the text cannot be sent to Kafka; ``field`` is its path in the request."""
    if text is not None and not is_possible(text):
        reason = "cannot hold the character U+0000" if "\0" in text else f"can have {MOST_BYTES} bytes of UTF-8 at most"
        raise InvalidKafkaRequest(f"{field} {reason}.", field=field)
