"""Cutting a stream of concatenated JSON documents (RFC 8259) into documents, however the bytes are split.

Complete documents are found by one regular expression that only balances brackets and skips strings: what it finds
still has to be decoded, which tells whether it is JSON. What it doesn't take is read token by token: what is nested
deeply, and what is left at the end of a chunk, so that a document that can't become JSON any more is refused at once
and not when its end arrives. Inside a document runs of members, elements and brackets are read by one expression each.
Time is linear in the bytes, whatever they are.
"""

from __future__ import annotations

import re
from typing import Final

from kafka_facade.core.errors import FacadeError, MalformedBody, PayloadTooLarge

MAX_DEPTH: Final = 500
"""Documents nested deeper than this are refused."""
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
# Deeper documents are left to the tokens.
_DOCUMENT = re.compile(_WHITESPACE + rb"(" + _balanced(6) + rb"|" + _SCALAR + rb")" + _WHITESPACE, re.DOTALL)
# What stands inside a document is read in runs, each by one match: members or elements that are complete in the buffer,
# the beginnings of nested values, and their ends.
_ENDED = rb'(?:"' + _CHARACTERS + rb'"|(?:' + _DIGITS + rb"|true|false|null)(?=[ \t\r\n,}\]])|" + _balanced(6) + rb")"
_COMMA = _WHITESPACE + rb"," + _WHITESPACE
_NAME = rb'"' + _CHARACTERS + rb'"' + _WHITESPACE + rb":" + _WHITESPACE
_ELEMENTS = re.compile(rb"(?:" + _COMMA + _ENDED + rb")++", re.DOTALL)
_MEMBERS = re.compile(rb"(?:" + _COMMA + _NAME + _ENDED + rb")++", re.DOTALL)
_OPENING = re.compile(
    rb"(?:\["
    + _WHITESPACE
    + rb"|\{"
    + _WHITESPACE
    + rb'"[^"\\{}\[\]\x00-\x1f]*+"'
    + _WHITESPACE
    + rb":"
    + _WHITESPACE
    + rb"){1,100}+"
)
# Of many scalars in an array only decoding tells whether they are any.
_SCALARS = re.compile(rb",[-+.0-9A-Za-z, \t\r\n]{256,}+")
_CLOSING = re.compile(rb"[}\] \t\r\n]{1,100}+")
_CLOSERS = bytes.maketrans(b"[{", b"]}")
_NO_OPENERS = bytes(byte for byte in range(256) if byte not in b"[{")
_BLANKS = b" \t\r\n"
_SPACE = re.compile(_WHITESPACE)
_TEXT = re.compile(_CHARACTERS)
_ESCAPE_START = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD = re.compile(rb"[-+.0-9A-Za-z]++")
_NUMBER = re.compile(_DIGITS + rb"\Z")
_NUMBER_START = re.compile(rb"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:(?<=[0-9])[eE][-+]?[0-9]*+)?)?\Z")
_LITERALS = (b"true", b"false", b"null")

# What the next token may be.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _NEXT = range(6)


class JsonSplitter:
    """Feed it bytes; it gives the documents that they complete.

    Once ``error`` is set (MalformedBody, or PayloadTooLarge for a document over ``max_bytes``) no more come out;
    documents before the bad one have come out as ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self.error: FacadeError | None = None
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        # Where the document that is being read begins, and where reading it goes on.
        self._start = 0
        self._position = 0
        self._stack = bytearray()
        self._expected = _VALUE
        self._in_string = False

    @property
    def clean(self) -> bool:
        """Whether the stream could end here: no document is incomplete."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """The documents that end in ``data``, in order, each without the white space around it."""
        documents: list[bytes] = []
        if self.error is not None:
            return documents
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
        if self.error is None and self._buffer:
            end = self._scan(True)
            if end:
                document = bytes(self._buffer[:end]).strip()
                self._reset()
                return [document]
            if self.error is None:
                self._fail(MalformedBody("Unexpected end of input: the last JSON value isn't complete."))
        return []

    def _scan_documents(self, documents: list[bytes]) -> None:
        """Move the documents that end in the buffer to ``documents``, and leave in it what follows them."""
        buffer = self._buffer
        start = 0
        while end := self._scan(False):
            documents.append(bytes(memoryview(buffer)[start:end]).strip())
            start = _take_documents(buffer, end, documents)
            self._start = self._position = start
            self._expected = _VALUE
        # Anew where it was emptied or the stream is in error.
        if start and self._buffer is buffer:
            del buffer[:start]
            self._position -= start
        self._start = 0

    def _reset(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._position = 0
        self._stack.clear()
        self._expected = _VALUE
        self._in_string = False

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
        """Read tokens from where the last scan stopped; where the document ends, or 0 if it doesn't end yet."""
        buffer = self._buffer
        size = len(buffer)
        while True:
            if self._in_string:
                if not self._scan_string(size):
                    break
                if self._expected == _NEXT and not self._stack:
                    return self._position
                continue
            position = _skip_space(buffer, self._position)
            self._position = position
            if position == size:
                if self._expected == _VALUE and not self._stack:
                    self._reset()
                    return 0
                break
            end = self._scan_run(buffer[position], position) or self._scan_token(
                buffer[position], position, size, at_end
            )
            if self.error is not None:
                return 0
            if end < 0:
                break
            self._position = end
            if self._expected == _NEXT and not self._stack and not self._in_string:
                return end
        if size - self._start > self._max_bytes and self.error is None:
            self._fail(self._too_large())
        return 0

    def _scan_string(self, size: int) -> bool:
        """Read on in a string; whether it has ended."""
        position = _skip_text(self._buffer, self._position)
        self._position = position
        if position == size:
            return False
        if self._buffer[position] == 0x22:
            self._position = position + 1
            self._in_string = False
            return True
        if size - position >= 6 or _ESCAPE_START.match(self._buffer[position:]) is None:
            self._unexpected(position, "a character or an escape sequence in a string")
        return False

    def _scan_run(self, byte: int, position: int) -> int:
        """Read as much at once as one expression takes; where that ends, or 0 if it takes nothing."""
        stack = self._stack
        if self._expected == _NEXT:
            if byte == 0x2C:
                if stack[-1] != 0x5D:
                    return _skip(_MEMBERS, self._buffer, position)
                scalars = _skip(_SCALARS, self._buffer, position)
                # The last one may not be complete.
                end = self._buffer.rfind(b",", position + 1, scalars) if scalars else 0
                return end if end > position else _skip(_ELEMENTS, self._buffer, position)
            return self._scan_ends(position)
        if byte in b"[{" and self._expected in (_VALUE, _VALUE_OR_END):
            end = _skip(_OPENING, self._buffer, position)
            openers = self._buffer[position:end].translate(_CLOSERS, _NO_OPENERS)
            if end and len(stack) + len(openers) < MAX_DEPTH:
                stack += openers
                self._expected = _VALUE_OR_END if openers[-1] == 0x5D else _VALUE
                return end
        return 0

    def _scan_ends(self, position: int) -> int:
        """Read the ends of several values, but never that of the document."""
        end = _skip(_CLOSING, self._buffer, position)
        closers = self._buffer[position:end].translate(None, _BLANKS)
        count = len(closers)
        if not 1 < count < len(self._stack) or self._stack[: -count - 1 : -1] != closers:
            return 0
        del self._stack[-count:]
        return end

    def _scan_token(self, byte: int, position: int, size: int, at_end: bool) -> int:
        """Read a token; where it ends, or -1 if it isn't complete."""
        expected = self._expected
        if expected == _NEXT:
            return self._scan_separator(byte, position)
        if expected == _COLON:
            if byte != 0x3A:
                return self._unexpected(position, "a colon")
            self._expected = _VALUE
            return position + 1
        if expected in (_KEY, _KEY_OR_END):
            if byte == 0x22:
                self._in_string = True
                self._expected = _COLON
                return position + 1
            if byte == 0x7D and expected == _KEY_OR_END:
                return self._close(position)
            return self._unexpected(position, "a member name in double quotes")
        if byte == 0x22:
            self._in_string = True
            self._expected = _NEXT
            return position + 1
        if byte in b"{[":
            if len(self._stack) == MAX_DEPTH:
                return self._fail(MalformedBody(f"JSON is nested deeper than {MAX_DEPTH} levels."))
            self._stack.append(byte + 2)
            self._expected = _KEY_OR_END if byte == 0x7B else _VALUE_OR_END
            return position + 1
        if byte == 0x5D and expected == _VALUE_OR_END:
            return self._close(position)
        return self._scan_word(position, size, at_end)

    def _scan_separator(self, byte: int, position: int) -> int:
        closer = self._stack[-1]
        if byte == closer:
            return self._close(position)
        if byte != 0x2C:
            return self._unexpected(position, f"a comma or '{chr(closer)}'")
        self._expected = _KEY if closer == 0x7D else _VALUE
        return position + 1

    def _close(self, position: int) -> int:
        self._stack.pop()
        self._expected = _NEXT
        return position + 1

    def _scan_word(self, position: int, size: int, at_end: bool) -> int:
        """A number, true, false or null: what follows tells where it ends."""
        end = _skip_word(self._buffer, position)
        word = bytes(self._buffer[position:end])
        if end == size and not at_end:
            start = any(literal.startswith(word) for literal in _LITERALS) or _NUMBER_START.match(word)
            if word and start and len(word) <= MAX_NUMBER_LENGTH:
                return -1
        elif word in _LITERALS or (word and _NUMBER.match(word)):
            self._expected = _NEXT
            return end
        return self._unexpected(position, "a JSON value")


# A match holds on to the buffer, which can't grow as long: nothing outlives these functions.
def _take_documents(data: bytes | bytearray, position: int, documents: list[bytes]) -> int:
    """Add the documents from ``position`` on that the expression finds; where they end."""
    while (match := _DOCUMENT.match(data, position)) is not None:
        documents.append(match[1])
        position = match.end()
    return position


def _skip(expression: re.Pattern[bytes], buffer: bytearray, position: int) -> int:
    match = expression.match(buffer, position)
    return 0 if match is None else match.end()


def _skip_space(buffer: bytearray, position: int) -> int:
    match = _SPACE.match(buffer, position)
    return position if match is None else match.end()


def _skip_text(buffer: bytearray, position: int) -> int:
    match = _TEXT.match(buffer, position)
    return position if match is None else match.end()


def _skip_word(buffer: bytearray, position: int) -> int:
    match = _WORD.match(buffer, position)
    return position if match is None else match.end()
