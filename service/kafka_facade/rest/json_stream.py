"""Cutting a stream of concatenated JSON documents (RFC 8259) into documents, however the bytes are split.

A document that is there as a whole is found by one regular expression that only balances brackets and skips strings. Of
one that goes on in the next chunk, or is nested deeper, strings are cut out and brackets are cancelled by functions of
``bytes``, which tells whether it ends in a chunk. Both leave it to decoding whether it is JSON. So that what
can't become JSON any more is refused before its end arrives, msgspec looks at an incomplete document each time that it
has doubled. Time is linear in the bytes, whatever they are.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Final

import msgspec

from kafka_facade.core.errors import FacadeError, MalformedBody, PayloadTooLarge

MAX_DEPTH: Final = 500
"""Documents that arrive nested deeper than this are refused."""
MAX_NUMBER_LENGTH: Final = 1000
"""Characters of a number that is cut by the end of a chunk; a longer one is refused."""

_PLAIN = rb'[^"{}\[\]]*+'
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _balanced(levels: int) -> bytes:
    pattern = rb"[{\[]" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*+[}\]]"
    for _ in range(levels):
        pattern = rb"[{\[]" + _PLAIN + rb"(?:(?:" + _STRING + rb"|" + pattern + rb")" + _PLAIN + rb")*+[}\]]"
    return pattern


_WHITESPACE = rb"[ \t\r\n]*+"
_CHARACTERS = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_DIGITS = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
# Only what comes next tells where a number ends.
_SCALAR = rb'"' + _CHARACTERS + rb'"|(?:' + _DIGITS + rb"|true|false|null)(?=[ \t\r\n])"
_DOCUMENT = re.compile(_WHITESPACE + rb"(" + _balanced(60) + rb"|" + _SCALAR + rb")" + _WHITESPACE, re.DOTALL)
_SPACE = re.compile(_WHITESPACE)
_TEXT = re.compile(_CHARACTERS)
_TEXT_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET_OR_STRING = re.compile(rb"[\[\]{}]|" + _STRING, re.DOTALL)
_ESCAPE_START = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD = re.compile(rb"[-+.0-9A-Za-z]++")
_LAST_WORD = re.compile(rb"[-+.0-9A-Za-z]*+\Z")
_NUMBER = re.compile(_DIGITS + rb"\Z")
_NUMBER_START = re.compile(rb"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:(?<=[0-9])[eE][-+]?[0-9]*+)?)?\Z")
_LITERALS = (b"true", b"false", b"null")
_AS_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
# Pairs that cancel each other, those of deep nesting first.
_PAIRS = tuple(b"[" * depth + b"]" * depth for depth in (256, 64, 16, 4, 2, 1))
# The shortest and the longest part that is looked at for the end of a document.
_SHORTEST: Final = 128
_LONGEST: Final = 64 * 1024
# Rounds of cancelling. Each takes 343 levels off what has no branches: MAX_DEPTH levels in such a part need few more.
_MOST_ROUNDS: Final = 64
_NESTED_DEEPER: Final = f"JSON is nested deeper than {MAX_DEPTH} levels."
_look = msgspec.json.Decoder(msgspec.Raw).decode
_TRAILING_AT = re.compile(r"trailing characters \(byte (\d+)\)\Z")
_SURROGATE = re.compile("hex escape|surrogate")
_MALFORMED_AT = re.compile(r"\(byte (\d+)\)\Z")


class _TooDeep(Exception):
    """Nested deeper than MAX_DEPTH."""


class JsonSplitter:
    """Feed it bytes; it gives the documents that they complete.

    Once ``error`` is set (MalformedBody, or PayloadTooLarge for a document over ``max_bytes``) no more come out;
    documents before the bad one have come out as ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self.error: FacadeError | None = None
        self._max_bytes = max_bytes
        # What has come of a byte order mark, which may stand in front of all; None once that is past.
        self._mark: bytes | None = b""
        # What begins with the document that is being read, and where that begins while others are taken from it.
        self._buffer = bytearray()
        self._start = 0
        # How far it has been read: where, how many brackets are open there, and whether a string is.
        self._position = 0
        self._depth = 0
        self._in_string = False
        # How long it was when it was last looked at.
        self._looked_at = 0

    @property
    def clean(self) -> bool:
        """Whether the stream could end here: no document is incomplete."""
        return not self._buffer and not self._mark

    def feed(self, data: bytes) -> list[bytes]:
        """The documents that end in ``data``, in order, each without the white space around it."""
        documents: list[bytes] = []
        if self.error is not None:
            return documents
        if self._mark is not None:
            data = self._behind_mark(self._mark + data)
        if not self._buffer:
            position = _take_documents(data, 0, documents)
            if position < len(data):
                self._buffer += memoryview(data)[position:]
        else:
            self._buffer += data
        if self._buffer:
            self._scan_documents(documents)
        for index, document in enumerate(documents):
            if len(document) > self._max_bytes:
                self._fail(self._too_large())
                return documents[:index]
        return documents

    def finish(self) -> list[bytes]:
        """The stream has ended: the last document, if only the end could tell that it was complete."""
        self._buffer += self._mark or b""
        if self.error is None and self._buffer:
            end = self._scan(True)
            if end:
                document = bytes(self._buffer[:end]).strip()
                self._reset()
                return [document]
            if self.error is None:
                self._fail(MalformedBody("Unexpected end of input: the last JSON value isn't complete."))
        return []

    def _behind_mark(self, begun: bytes) -> bytes:
        """What has begun, without the byte order mark that some clients put there (RFC 8259, 8.1)."""
        if len(begun) < len(BOM_UTF8) and BOM_UTF8.startswith(begun):
            self._mark = begun
            return b""
        self._mark = None
        return begun.removeprefix(BOM_UTF8)

    def _scan_documents(self, documents: list[bytes]) -> None:
        """Move the documents that end in the buffer to ``documents``, and leave in it what follows them."""
        buffer = self._buffer
        while end := self._scan(False):
            documents.append(bytes(memoryview(buffer)[self._start : end]))
            self._begin(_take_documents(buffer, end, documents))
        # Anew where it is in error.
        if self._buffer is buffer:
            del buffer[: self._start]
            self._position -= self._start
            self._start = 0

    def _begin(self, start: int) -> None:
        """The next document begins here."""
        self._start = self._position = start
        self._depth = self._looked_at = 0
        self._in_string = False

    def _reset(self) -> None:
        self._buffer = bytearray()
        self._begin(0)

    def _fail(self, error: FacadeError) -> int:
        self.error = error
        self._reset()
        return 0

    def _unexpected(self, position: int, expected: str) -> int:
        found = self._buffer[position : position + 1].decode("latin-1")
        return self._fail(MalformedBody(f"Unexpected character {found!r}: expected {expected}."))

    def _too_large(self) -> FacadeError:
        return PayloadTooLarge(f"A record is longer than {self._max_bytes} bytes.")

    def _scan(self, at_end: bool) -> int:
        """Read on in the document; where it ends, or 0 if it doesn't end yet or can't be JSON."""
        buffer = self._buffer
        if self._position == self._start:
            self._start = self._position = _skip(_SPACE, buffer, self._start)
        if self._start == len(buffer):
            return 0
        first = buffer[self._start]
        if first in b"[{":
            try:
                end = self._scan_nested()
            except _TooDeep:
                end = self._fail(MalformedBody(_NESTED_DEEPER))
        elif first == 0x22:
            end = self._scan_text()
        else:
            end = self._scan_word(at_end)
        if not end and self.error is None and len(buffer) - self._start > self._max_bytes:
            self._fail(self._too_large())
        return end

    def _scan_nested(self) -> int:
        """An array or an object."""
        buffer = self._buffer
        if not self._depth:
            self._depth = 1
            self._position = self._start + 1
        size = len(buffer)
        step = _SHORTEST
        while self._position < size:
            stop = min(self._position + step, size)
            try:
                passes = self._passes(stop)
            except _TooDeep:
                # It may be what follows the document that is nested so deep.
                if end := _end_of_json(bytes(memoryview(buffer)[self._start : stop])):
                    return self._start + end
                raise
            if not passes:
                return self._end_before(stop)
            if self._depth > MAX_DEPTH:
                raise _TooDeep
            if stop == size:
                break
            step = min(2 * step, _LONGEST)
        if size - self._start >= 2 * self._looked_at:
            self._look()
        return 0

    def _passes(self, stop: int) -> bool:
        """Read on to a place that is in the document, in two characters' escape sequences not quite; False else."""
        part = bytes(memoryview(self._buffer)[self._position : stop])
        if (len(part) - len(part.rstrip(b"\\"))) % 2:
            part = part[:-1]
        read = len(part)
        if b"\\" in part:
            part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = part.split(b'"')
        brackets = b"".join(pieces[self._in_string :: 2]).translate(_AS_BRACKETS, _NO_BRACKETS)
        if brackets.count(b"]") >= self._depth:
            brackets = _cancelled(brackets)
        closed = brackets.count(b"]")
        if closed >= self._depth:
            return False
        self._depth += brackets.count(b"[") - closed
        self._in_string ^= len(pieces) % 2 == 0
        self._position += read
        return True

    def _end_before(self, stop: int) -> int:
        """Where the document ends, which it does before this."""
        end = _end_of_json(bytes(memoryview(self._buffer)[self._start : stop]))
        if end:
            return self._start + end
        # It is no JSON, or msgspec can't tell.
        while stop - self._position > _SHORTEST:
            middle = (self._position + stop) // 2
            if not self._passes(middle):
                stop = middle
        position = self._position
        if self._in_string:
            position = _skip(_TEXT_END, self._buffer, position)
        depth = self._depth
        while True:
            position, byte = _next_bracket(self._buffer, position, stop)
            depth += 1 if byte in b"[{" else -1
            if not depth:
                return position

    def _look(self) -> None:
        """Refuse an incomplete document that can't become JSON any more."""
        document = bytes(memoryview(self._buffer)[self._start :])
        self._looked_at = len(document)
        try:
            _look(document)
        except RecursionError:
            self._fail(MalformedBody(_NESTED_DEEPER))
        except msgspec.DecodeError as error:
            end = len(document)
            last = _LAST_WORD.search(document, max(0, end - MAX_NUMBER_LENGTH - 1))
            word = b"" if last is None or self._in_string else last[0]
            # It doesn't look behind half of a surrogate pair, which is left to decoding.
            place = None if _SURROGATE.search(str(error)) else _MALFORMED_AT.search(str(error))
            position = end if place is None else int(place[1])
            # To msgspec, a number that isn't complete is none.
            if "invalid" in str(error) and position >= end - len(word):
                position = end
            if position < end or not _begins_word(word):
                self._unexpected(self._start + min(position, end - 1), "JSON")

    def _scan_text(self) -> int:
        """A string."""
        buffer = self._buffer
        position = _skip(_TEXT, buffer, max(self._position, self._start + 1))
        self._position = position
        left = len(buffer) - position
        if left and buffer[position] == 0x22:
            return position + 1
        if left >= 6 or (left and _ESCAPE_START.match(buffer[position:]) is None):
            self._unexpected(position, "a character or an escape sequence in a string")
        return 0

    def _scan_word(self, at_end: bool) -> int:
        """A number, true, false or null: what follows tells where it ends."""
        end = _skip(_WORD, self._buffer, self._start)
        word = bytes(self._buffer[self._start : end])
        if end == len(self._buffer) and not at_end:
            if word and _begins_word(word):
                return 0
        elif word in _LITERALS or (word and _NUMBER.match(word)):
            return end
        return self._unexpected(self._start, "a JSON value")


def _end_of_json(data: bytes) -> int:
    """Where the JSON that data begin with ends; 0 if they don't, or that can't be told."""
    try:
        _look(data)
    except RecursionError:
        return 0
    except msgspec.DecodeError as error:
        found = _TRAILING_AT.search(str(error))
        return 0 if found is None else len(data[: int(found[1]) - 1].rstrip())
    return len(data.rstrip())


def _begins_word(word: bytes) -> bool:
    """Whether a number or a literal may begin so, or there is none."""
    start = any(literal.startswith(word) for literal in _LITERALS) or _NUMBER_START.match(word)
    return bool(start) and len(word) <= MAX_NUMBER_LENGTH


def _cancelled(brackets: bytes) -> bytes:
    """The brackets that are left where those that belong together are gone; _TooDeep."""
    for _ in range(_MOST_ROUNDS):
        size = len(brackets)
        for pair in _PAIRS:
            brackets = brackets.replace(pair, b"")
        if len(brackets) == size:
            return brackets
    raise _TooDeep


# A match holds on to the buffer, which can't grow as long: nothing outlives these functions.
def _take_documents(data: bytes | bytearray, position: int, documents: list[bytes]) -> int:
    """Add the documents from ``position`` on that the expression finds; where they end."""
    while (match := _DOCUMENT.match(data, position)) is not None:
        documents.append(match[1])
        position = match.end()
    return position


def _skip(expression: re.Pattern[bytes], buffer: bytearray, position: int) -> int:
    match = expression.match(buffer, position)
    return position if match is None else match.end()


def _next_bracket(buffer: bytearray, position: int, stop: int) -> tuple[int, int]:
    """The first bracket outside of strings: where it ends, and which it is."""
    for match in _BRACKET_OR_STRING.finditer(buffer, position, stop):
        if match[0][:1] != b'"':
            return match.end(), match[0][0]
    raise AssertionError("a document ends before this")
