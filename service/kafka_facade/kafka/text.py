"""Text from Kafka that is not valid UTF-8 is decoded with U+FFFD in place of what is invalid.

Brokers store some text unchecked, such as the names of record headers. confluent-kafka decodes it without looking
whether that failed, and ends the process when it uses the missing string; kafka-python gives up the whole answer. Both
decode with the error handler ``strict``, which Python looks up in its codec registry at each error (PEP 293). This
module registers one that replaces in Kafka's decoding, and raises as before anywhere else. Valid text costs nothing.
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
    """Decode with replacement in this thread from now on: it does nothing but talk to Kafka."""
    replacing_invalid_text.always = True


def _strict(error: UnicodeError) -> tuple[str | bytes, int]:
    here = replacing_invalid_text
    if isinstance(error, UnicodeDecodeError) and (here.depth or here.always or _is_native_thread()):
        return codecs.replace_errors(error)
    raise error


def _is_native_thread() -> bool:
    """Whether no Python code has called: librdkafka's own thread is making Python objects of an answer."""
    try:
        sys._getframe(2)
    except ValueError:
        return True
    return False


codecs.register_error("strict", _strict)
