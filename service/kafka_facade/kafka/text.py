"""Decodes invalid UTF-8 from Kafka with U+FFFD replacement characters.

Brokers do not validate some text, such as names of record headers. confluent-kafka does not check whether decoding
failed and crashes the process; kafka-python drops the whole response. Both use the error handler ``strict``, which
Python looks up by name at each error (PEP 293). This module registers a handler under that name which replaces invalid
bytes when decoding Kafka's data and raises as usual anywhere else. Decoding of valid text is not affected.
"""

from __future__ import annotations

import codecs
import sys
import threading
from types import TracebackType


class _Replacing(threading.local):
    """A context in which the current thread decodes with replacement."""

    depth = 0
    always = False

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.depth -= 1


replacing_invalid_text = _Replacing()
"""``with replacing_invalid_text:`` around code that decodes text from Kafka. Never await inside."""


def replace_in_this_thread() -> None:
    """Decode with replacement in the current thread from now on; for threads that only talk to Kafka."""
    replacing_invalid_text.always = True


def _strict(error: UnicodeError) -> tuple[str | bytes, int]:
    here = replacing_invalid_text
    if isinstance(error, UnicodeDecodeError) and (here.depth or here.always or _is_native_thread()):
        return codecs.replace_errors(error)
    try:
        raise error
    finally:
        # Its traceback refers to this frame, which would make a reference cycle.
        del error


def _is_native_thread() -> bool:
    """Return whether no Python frame called this: a librdkafka thread is converting a response."""
    try:
        sys._getframe(2)
    except ValueError:
        return True
    return False


codecs.register_error("strict", _strict)
