"""Splits a stream of concatenated JSON documents (RFC 8259), regardless of chunk boundaries.

A regular expression that balances brackets and skips strings finds many small documents at a time. msgspec, which skips
a value in native code, finds the end of all others. If a document continues in the next chunk, each chunk is still read
only once: a short text that leaves the parser in the same state replaces what was read before. The time is linear in
the size of the input. Documents are only validated when they are decoded.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Final

import msgspec

from kafka_facade.core.errors import FacadeError, MalformedBody, PayloadTooLarge
from kafka_facade.core.quoting import quote

MAX_DEPTH: Final = 500
"""Maximum nesting of documents."""
MAX_NUMBER_LENGTH: Final = 1000
"""Maximum length of a number that is split between chunks."""

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
# A number or literal ends only before white space, because it could continue otherwise.
_SCALAR = rb'"' + _CHARACTERS + rb'"|(?:' + _DIGITS + rb"|true|false|null)(?=[ \t\r\n])"
# Matches each document, then the rest, then an empty string at the end.
_DOCUMENTS = re.compile(_WHITESPACE + rb"(" + _balanced(8) + rb"|" + _SCALAR + rb"|.*+)", re.DOTALL)
# Up to this size (bytes), the regular expression is faster than msgspec.
_SMALL: Final = 256
# Bytes to which the expression is applied at once, because the scan of a longer document is wasted.
_WINDOW: Final = 4096
_SPACE = re.compile(_WHITESPACE)
# Strings, with the colon after names of members, and what separates values.
_STRUCTURE = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"' + _WHITESPACE + rb"(:?)|([{}\[\],])", re.DOTALL)
# An error has the path of its value only if at most so much of the document (bytes) is before it.
_LONGEST_BEFORE: Final = 64 * 1024
# White space after a document is not longer than the part of the stream in which it ends.
_TAIL: Final = 1024 * 1024
_ESCAPE_START = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD_CHARACTERS = b"+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(rb"[-+.0-9A-Za-z]*+")
_NUMBER = re.compile(_DIGITS + rb"\Z")
_NUMBER_START = re.compile(rb"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:(?<=[0-9])[eE][-+]?[0-9]*+)?)?\Z")
_LITERALS = (b"true", b"false", b"null")
# Translate objects to arrays, so that open brackets can be closed without knowing their kind.
_AS_ARRAYS = bytes.maketrans(b"{}:", b"[],")
_CLOSING = b"]" * (MAX_DEPTH + 1)
_look = msgspec.json.Decoder(msgspec.Raw).decode
_PLACE = re.compile(r"(trailing characters )?\(byte (\d+)\)\Z")


Document = bytes | bytearray
"""One JSON document of a stream."""


class Malformed(Exception):
    """The text is not a prefix of JSON; ``place`` is the position of the error."""

    def __init__(self, place: int) -> None:
        self.place = place


class JsonSplitter:
    """Accepts bytes and returns the documents that they complete.

    After an error, ``error`` is set (MalformedBody, or PayloadTooLarge for a document over ``max_bytes``) and no more
    documents are returned. Documents before the invalid one are returned normally.
    """

    def __init__(self, max_bytes: int) -> None:
        self.error: FacadeError | None = None
        self._max_bytes = max_bytes
        # A partial byte order mark at the start of the stream; None after the start.
        self._mark: bytes | None = b""
        # The incomplete document, how much of it has been scanned, and the text that stands in for that part.
        self._buffer = bytearray()
        self._position = 0
        self._read = b""

    @property
    def clean(self) -> bool:
        """Whether no document is incomplete, so that the stream may end here."""
        return not self._buffer and not self._mark

    def feed(self, data: bytes) -> list[Document]:
        """Return the documents that end in ``data``, in order, without surrounding white space."""
        documents: list[Document] = []
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

    def finish(self) -> list[Document]:
        """End the stream; return the last document if it is a number or literal, which only the end completes."""
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
        """Strip the byte order mark that some clients send (RFC 8259, 8.1)."""
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

    def _split(self, data: bytes, documents: list[Document]) -> None:
        """Add the documents that end in ``data``, and buffer the rest."""
        if self._buffer:
            self._buffer += data
            end = self._read_on()
            if not end:
                return
            data = bytes(memoryview(self._buffer)[end:])
            # Copying a large document takes long, so hand out the buffer.
            document, self._buffer = self._buffer, bytearray()
            tail = document[max(0, end - _TAIL) : end]
            del document[end - len(tail) + len(tail.rstrip()) :]
            documents.append(document)
        position = _take(data, documents)
        if position < len(data):
            self._buffer += memoryview(data)[position:]
            self._position, self._read = 0, b""
            self._read_on()

    def _read_on(self) -> int:
        """Continue scanning the document; return its end, or 0 if it is incomplete."""
        if self._buffer[0] not in b'[{"':
            return _end_of_word(self._buffer, 0)
        part = bytes(memoryview(self._buffer)[self._position :])
        try:
            place, self._read = scan(part, self._read)
        except Malformed as error:
            raise _unexpected(self._buffer, self._position + error.place, "JSON") from None
        if not self._read:
            return self._position + place
        self._position += place
        return 0


def scan(part: bytes, read: bytes) -> tuple[int, bytes]:
    """Scan a further part of an array, object or string; ``read`` stands in for what is before, b"" at the start.

    Returns how far the part was scanned, from where the next one begins, and its stand-in text, which is b"" if the
    value ends there. Brackets may be of the wrong kind. Raises Malformed, and MalformedBody if it is nested too deeply.
    """
    try:
        place, behind = _progress(read + _without_surrogates(part).translate(_AS_ARRAYS))
    except Malformed as error:
        raise Malformed(error.place - len(read)) from None
    return place - len(read), behind


def _progress(text: bytes) -> tuple[int, bytes]:
    """Return how far an incomplete document was scanned, and its stand-in text; b"" if it ends there."""
    # Exclude a number or literal at the end, which may continue.
    read = len(text) - _length_of_last_word(text)
    begun = text[:read]
    # A backslash only occurs in strings.
    if not begun.endswith(b"\\"):
        last = begun.rstrip()[-1:]
        # Complete a trailing comma. If the text ends within a string, this has no effect and no end is found.
        filler = b"0" if last == b"," else b""
        end = find_end(begun + filler + _CLOSING)
        if 0 < end <= read:
            return end, b""
        if end:
            word = text[read:]
            if word and (last not in b"[," or not _begins_word(word)):
                raise Malformed(read)
            return read, _stand_in(end - read - len(filler), {b"[": b"", b",": b'"",'}.get(last, b'""'))
    # The text ends within a string; exclude an incomplete escape sequence.
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
    """Return the end of the JSON value at the start, with white space after it; 0 if incomplete. Raises Malformed."""
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


def _take(data: bytes, documents: list[Document]) -> int:
    """Add all complete documents; return their end."""
    # A number or literal at the end may continue.
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


def _take_small(data: bytes, position: int, documents: list[Document]) -> int:
    """Add the documents that the expression finds; return their end."""
    while position < len(data):
        end = min(position + _WINDOW, len(data))
        # The second last match is the rest, or a document that is scanned again.
        *found, last, _ = _DOCUMENTS.findall(data, position, end)
        if not found:
            break
        documents += found
        position = end - len(last)
    return position


def _end_of_word(data: bytes | bytearray, start: int) -> int:
    """Return where a number, true, false or null ends; 0 if it may continue."""
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
    """Return whether this is a prefix of a number or literal."""
    start = any(literal.startswith(word) for literal in _LITERALS) or _NUMBER_START.match(word)
    return bool(start) and len(word) <= MAX_NUMBER_LENGTH


def _length_of_last_word(data: bytes) -> int:
    """Return the length of a number or literal at the end that may continue, up to slightly above the maximum."""
    last = data[-MAX_NUMBER_LENGTH - 1 :]
    return len(last) - len(last.rstrip(_WORD_CHARACTERS))


def _length_of_last_escape(text: bytes) -> int:
    """Return the length of an incomplete escape sequence at the end of a string."""
    found = _ESCAPE_START.search(text, max(0, len(text) - 5))
    if found is None:
        return 0
    before = text[: found.start() + 1]
    # An even number of backslashes are escaped backslashes.
    odd = (len(before) - len(before.rstrip(b"\\"))) % 2
    return len(text) - found.start() if odd else 0


def _without_surrogates(data: bytes) -> bytes:
    """Mask unpaired surrogates, keeping the length: msgspec would stop there. Decoding rejects them later."""
    return data.replace(rb"\ud", rb"\u0").replace(rb"\uD", rb"\u0") if rb"\u" in data else data


def _skip_space(data: bytes, position: int) -> int:
    found = _SPACE.match(data, position)
    return position if found is None else found.end()


def _unexpected(data: bytes | bytearray, position: int, expected: str) -> MalformedBody:
    position = min(position, len(data) - 1)
    word = _WORD.match(data, position)
    if word is not None and len(word[0]) > MAX_NUMBER_LENGTH and _NUMBER_START.match(word[0]):
        # Its start may be in an earlier part.
        before = data[:position].rstrip(_WORD_CHARACTERS)
        path = _path(before) if len(before) <= _LONGEST_BEFORE else ""
        if not path:
            return MalformedBody("The number is out of range.")
        return MalformedBody(f"The number is out of range (at {quote(path)}).", field=path)
    found = data[position : position + 1].decode("latin-1")
    return MalformedBody(f"Unexpected character {found!r}: expected {expected}.")


def _path(before: bytes | bytearray) -> str:
    """Return the path of the value after this part of a document, such as ``value.data[1].amount``."""
    path: list[str | int] = []
    for found in _STRUCTURE.finditer(before):
        name, colon, mark = found.groups()
        if mark in (b"{", b"["):
            path.append("" if mark == b"{" else 0)
        elif mark in (b"}", b"]"):
            path = path[:-1]
        elif path and colon:
            path[-1] = name.decode(errors="replace")
        elif path and mark == b"," and isinstance(path[-1], int):
            path[-1] += 1
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _too_deep() -> MalformedBody:
    return MalformedBody(f"JSON is nested deeper than {MAX_DEPTH} levels.")
