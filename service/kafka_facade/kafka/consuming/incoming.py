"""Takes messages from a client a few at a time, because few bytes can keep the event loop busy for long.

A record may have 100,000 headers: the client parses them while it returns the message, and Python then makes two
objects of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Message

from kafka_facade.core.errors import IllegalConsumerState
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replacing_invalid_text

Headers = Sequence[tuple[str, bytes | None]]

# Messages per call of the client, because parsing the headers of one takes up to 6 ms. At first, and after a message
# with many headers, one is taken, then twice as many each time.
_AT_ONCE: Final = 8
_MANY_HEADERS: Final = 1000
# How long (s) taking messages and converting them may take, beyond the last one; and their bytes, estimated.
_SECONDS: Final = 0.005
_MOST_BYTES: Final = 1024 * 1024
_HEADER_BYTES: Final = 150


def _size(message: Message) -> int:
    """Estimate the memory that a message takes, in bytes; parses its headers."""
    size = len(message) + len(message.key() or b"")
    if headers := cast(Headers | None, message.headers()):
        size += len(headers) * _HEADER_BYTES
        if len(headers) < _MANY_HEADERS:
            size += sum(len(value or b"") for name, value in headers)
    return size


class Incoming:
    """The messages that were taken from the client, but are not converted to records yet.

    ``owned`` holds the client; no frame on the event loop may refer to it (see ``SerializedClient``).
    """

    def __init__(self) -> None:
        self._left: list[Message] = []
        self._at_once = 1
        self._until = 0.0

    def __bool__(self) -> bool:
        """Whether messages are left that must be converted before others are taken."""
        return bool(self._left)

    def take(self, owned: Sequence[ClientConsumer], most: int) -> list[Message]:
        """Take messages that are left, else new ones, which serves events.

        None are returned if taking them has used up the time for now. The caller converts them, and puts back those
        that it has no time for.
        """
        self._until = time.perf_counter() + _SECONDS
        if self._left:
            taken, self._left = self._left[:most], self._left[most:]
            return taken
        if not owned:
            raise IllegalConsumerState
        consume = ClientConsumer.consume
        messages: list[Message] = []
        size = 0
        try:
            with replacing_invalid_text:
                while True:
                    wanted = min(self._at_once, most - len(messages))
                    some = consume(owned[0], wanted, 0)
                    messages += some
                    if len(some) < wanted or len(messages) >= most:
                        break
                    size += wanted * _size(some[-1])
                    if size >= _MOST_BYTES or self.is_late:
                        break
                    if wanted < _AT_ONCE:
                        self._at_once = wanted * 2
        except Exception as error:
            if not messages:
                raise from_exception(error) from error
        if messages and self.is_late:
            self._left, messages = messages, []
        return messages

    @property
    def is_late(self) -> bool:
        """Whether the time for converting messages is over."""
        return time.perf_counter() >= self._until

    def count_headers(self, count: int) -> None:
        """Note how many headers a message has."""
        if count >= _MANY_HEADERS:
            self._at_once = 1

    def put_back(self, messages: Sequence[Message]) -> None:
        """Keep messages that were taken, but not converted."""
        self._left[:0] = messages

    def append(self, messages: Sequence[Message]) -> None:
        """Keep messages that were taken after all others."""
        self._left += messages

    def keep(self, wanted: Callable[[tuple[str, int]], bool]) -> None:
        """Drop messages of partitions that are not ``wanted``."""
        self._left = [entry for entry in self._left if wanted((entry.topic() or "", entry.partition() or 0))]
