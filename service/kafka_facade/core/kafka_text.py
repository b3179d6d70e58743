"""Text that goes to Kafka: its protocol counts the bytes of a text in 15 bits, and its C client ends one at U+0000.

What is longer breaks the connection to the broker, for all who share it; what holds U+0000 arrives as another text.
"""

from __future__ import annotations

from typing import Final

from kafka_facade.core.errors import InvalidKafkaRequest

MOST_BYTES: Final = 2**15 - 1
"""The longest text, in bytes of UTF-8."""


def is_possible(text: str) -> bool:
    """Whether Kafka can be sent the text as it is."""
    try:
        return "\0" not in text and len(text.encode()) <= MOST_BYTES
    except UnicodeEncodeError:
        return False


def check_text(text: str | None, field: str) -> None:
    """InvalidKafkaRequest for a text that Kafka can't be sent; ``field`` is its path in the request."""
    if text is not None and not is_possible(text):
        reason = "cannot hold the character U+0000" if "\0" in text else f"can have {MOST_BYTES} bytes of UTF-8 at most"
        raise InvalidKafkaRequest(f"{field} {reason}.", field=field)
