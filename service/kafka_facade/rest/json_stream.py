"""Cutting a stream of concatenated JSON documents (RFC 8259) into documents, however the bytes are split.

Small documents are found many at a time by a regular expression that only balances brackets and skips strings. Where
any other ends, msgspec tells, which reads through a value natively. Of one that goes on in the next chunk each chunk is
read once: what came before is stood in for by a short text that leaves a parser in the same state. Time is linear in
the bytes, whatever they are. Decoding has the last word on what is JSON.
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
# Finds one document after the other, then all that is left, then nothing at the end.
_DOCUMENTS = re.compile(_WHITESPACE + rb"(" + _balanced(8) + rb"|" + _SCALAR + rb"|.*+)", re.DOTALL)
# Documents of up to so many bytes take the expression less time than msgspec.
_SMALL: Final = 256
# How many bytes the expression looks at at once: it does so in vain where a longer document begins.
_WINDOW: Final = 4096
_SPACE = re.compile(_WHITESPACE)
_ESCAPE_START = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD_CHARACTERS = b"+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(rb"[-+.0-9A-Za-z]*+")
_NUMBER = re.compile(_DIGITS + rb"\Z")
_NUMBER_START = re.compile(rb"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:(?<=[0-9])[eE][-+]?[0-9]*+)?)?\Z")
_LITERALS = (b"true", b"false", b"null")
# What is open can be closed without knowing what it is where all of it is arrays.
_AS_ARRAYS = bytes.maketrans(b"{}:", b"[],")
_CLOSING = b"]" * (MAX_DEPTH + 1)
_look = msgspec.json.Decoder(msgspec.Raw).decode
_PLACE = re.compile(r"(trailing characters )?\(byte (\d+)\)\Z")


class Malformed(Exception):
    """What can't become JSON, and where."""

    def __init__(self, place: int) -> None:
        self.place = place


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
        # The document that is incomplete, how much of it has been read, and what stands in for that.
        self._buffer = bytearray()
        self._position = 0
        self._read = b""

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
        size = len(self._buffer) + len(data)
        try:
            self._split(data, documents)
        except MalformedBody as error:
            self._fail(error)
        if size > self._max_bytes:
            for index, document in enumerate(documents):
                if len(document) > self._max_bytes:
                    self._fail(self._too_large())
                    return documents[:index]
            if len(self._buffer) > self._max_bytes:
                self._fail(self._too_large())
        return documents

    def finish(self) -> list[bytes]:
        """The stream has ended: the last document, if only the end could tell that it was complete."""
        self._buffer += self._mark or b""
        document = bytes(self._buffer)
        self._buffer.clear()
        if self.error is not None or not document:
            return []
        if _is_word(document):
            return [document]
        self._fail(MalformedBody("Unexpected end of input: the last JSON value isn't complete."))
        return []

    def _behind_mark(self, begun: bytes) -> bytes:
        """What has begun, without the byte order mark that some clients put there (RFC 8259, 8.1)."""
        if len(begun) < len(BOM_UTF8) and BOM_UTF8.startswith(begun):
            self._mark = begun
            return b""
        self._mark = None
        return begun.removeprefix(BOM_UTF8)

    def _fail(self, error: FacadeError) -> None:
        self.error = error
        self._buffer.clear()

    def _too_large(self) -> FacadeError:
        return PayloadTooLarge(f"A record is longer than {self._max_bytes} bytes.")

    def _split(self, data: bytes, documents: list[bytes]) -> None:
        """Add the documents that end in ``data``; keep what follows them."""
        if self._buffer:
            self._buffer += data
            end = self._read_on()
            if not end:
                return
            documents.append(bytes(memoryview(self._buffer)[:end]).rstrip())
            data = bytes(memoryview(self._buffer)[end:])
            self._buffer.clear()
        position = _take(data, documents)
        if position < len(data):
            self._buffer += memoryview(data)[position:]
            self._position, self._read = 0, b""
            self._read_on()

    def _read_on(self) -> int:
        """Read on in the document; where it ends, or 0 if it doesn't end yet."""
        if self._buffer[0] not in b'[{"':
            return _end_of_word(self._buffer, 0)
        part = bytes(memoryview(self._buffer)[self._position :])
        plain = self._read + _without_surrogates(part).translate(_AS_ARRAYS)
        before = self._position - len(self._read)
        try:
            place, self._read = _progress(plain)
        except Malformed as error:
            raise _unexpected(part, error.place - len(self._read), "JSON") from None
        if not self._read:
            return before + place
        self._position = before + place
        return 0


def _progress(text: bytes) -> tuple[int, bytes]:
    """How far an incomplete document can be read, and what stands in for that; b"" where it has ended there."""
    # A word may go on.
    read = len(text) - _length_of_last_word(text)
    begun = text[:read]
    # A backslash can only be in a string.
    if not begun.endswith(b"\\"):
        last = begun.rstrip()[-1:]
        # In a string it changes nothing, in which this comes to no end.
        filler = b"0" if last == b"," else b""
        end = find_end(begun + filler + _CLOSING)
        if 0 < end <= read:
            return end, b""
        if end:
            word = text[read:]
            if word and (last not in b"[," or not _begins_word(word)):
                raise Malformed(read)
            return read, _stand_in(end - read - len(filler), {b"[": b"", b",": b'"",'}.get(last, b'""'))
    # It ends in a string, where an escape sequence may go on.
    read = len(text) - _length_of_last_escape(text)
    begun = text[:read] + b'"'
    try:
        end = find_end(begun + _CLOSING)
    except Malformed as error:
        if error.place < read:
            raise
        end = 0
    if not end:
        raise _too_deep() if text.count(b"[") > MAX_DEPTH else Malformed(read)
    if end <= read:
        return end, b""
    return read, _stand_in(end - len(begun), b'"')


def _stand_in(depth: int, rest: bytes) -> bytes:
    if depth > MAX_DEPTH:
        raise _too_deep()
    return b"[" * depth + rest


def find_end(text: bytes | memoryview) -> int:
    """Where the JSON that a text begins with ends, with white space after it; 0 if that isn't there yet. Malformed."""
    try:
        _look(text)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        found = _PLACE.search(str(error))
        if found is None:
            return 0
        if found[1]:
            return int(found[2]) - 1
        raise Malformed(int(found[2])) from None
    return len(text)


def _take(data: bytes, documents: list[bytes]) -> int:
    """Add the documents that are there as a whole; where they end."""
    # Only what comes next tells where a word ends.
    text = memoryview(_without_surrogates(data))[: len(data) - _length_of_last_word(data)]
    position = _skip_space(data, 0)
    while position < len(data):
        if data[position] not in b'[{"':
            end = _end_of_word(data, position)
        else:
            try:
                end = find_end(text[position:])
            except Malformed as error:
                raise _unexpected(data, position + error.place, "JSON") from None
            end = end and position + end
        if not end:
            break
        documents.append(data[position:end].rstrip())
        if end - position <= _SMALL:
            end = _take_small(data, end, documents)
        position = _skip_space(data, end)
    return position


def _take_small(data: bytes, position: int, documents: list[bytes]) -> int:
    """Add the documents that the expression finds; where they end."""
    while position < len(data):
        end = min(position + _WINDOW, len(data))
        # The last but one is what is left, or a document that is looked at again.
        *found, last, _ = _DOCUMENTS.findall(data, position, end)
        if not found:
            break
        documents += found
        position = end - len(last)
    return position


def _end_of_word(data: bytes | bytearray, start: int) -> int:
    """Where a number, true, false or null ends; 0 if it may go on."""
    found = _WORD.match(data, start)
    word = b"" if found is None else found[0]
    end = start + len(word)
    if end == len(data):
        if word and _begins_word(word):
            return 0
    elif _is_word(word):
        return end
    raise _unexpected(data, start, "a JSON value")


def _is_word(word: bytes) -> bool:
    return word in _LITERALS or _NUMBER.match(word) is not None


def _begins_word(word: bytes) -> bool:
    """Whether a number or a literal may begin so."""
    start = any(literal.startswith(word) for literal in _LITERALS) or _NUMBER_START.match(word)
    return bool(start) and len(word) <= MAX_NUMBER_LENGTH


def _length_of_last_word(data: bytes) -> int:
    """How much of the end may be a word that goes on; of a longer one, a little more than may be one."""
    last = data[-MAX_NUMBER_LENGTH - 1 :]
    return len(last) - len(last.rstrip(_WORD_CHARACTERS))


def _length_of_last_escape(text: bytes) -> int:
    """How much of the end of a string is an escape sequence that isn't complete."""
    found = _ESCAPE_START.search(text, max(0, len(text) - 5))
    if found is None:
        return 0
    before = text[: found.start() + 1]
    # One backslash escapes the other.
    odd = (len(before) - len(before.rstrip(b"\\"))) % 2
    return len(text) - found.start() if odd else 0


def _without_surrogates(data: bytes) -> bytes:
    """As many bytes, without halves of surrogate pairs: msgspec doesn't look behind one, and decoding judges it."""
    return data.replace(rb"\ud", rb"\u0").replace(rb"\uD", rb"\u0") if rb"\u" in data else data


def _skip_space(data: bytes, position: int) -> int:
    found = _SPACE.match(data, position)
    return position if found is None else found.end()


def _unexpected(data: bytes | bytearray, position: int, expected: str) -> MalformedBody:
    position = min(position, len(data) - 1)
    found = data[position : position + 1].decode("latin-1")
    return MalformedBody(f"Unexpected character {found!r}: expected {expected}.")


def _too_deep() -> MalformedBody:
    return MalformedBody(f"JSON is nested deeper than {MAX_DEPTH} levels.")
