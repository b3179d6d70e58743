"""Parser for ``sasl.jaas.config``, the JAAS configuration of one client.

``org.apache.kafka...PlainLoginModule required username="ann" password="...";``: a login module's class, a control flag,
options, a semicolon. As in Java, values may be quoted, quoted ones may hold escapes, and there may be comments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_SKIPPED: Final = re.compile(r"(?:\s+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|((?:[A-Za-z0-9_.$+@:~%&*!?|<>()\[\]{}^#,\\-]|/(?![/*]))+)|([=;]))""",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}
_FLAGS: Final = ("required", "requisite", "sufficient", "optional")
_MOST_CHARACTERS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class LoginModule:
    """A login module: its class name without the package, and its options."""

    name: str
    options: dict[str, str] = field(repr=False)


def parse(text: str) -> LoginModule:
    """Return the only login module of a configuration. Raises ValueError, whose message quotes none of the text."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"it is longer than {_MOST_CHARACTERS} characters")
    tokens = _tokens(text)
    if len(tokens) < 3 or tokens[0] in _SIGNS or tokens[1] in _SIGNS:
        raise ValueError("expected a login module, a control flag, options, and a semicolon")
    if tokens[1].text.lower() not in _FLAGS:
        raise ValueError("expected a control flag such as required after the login module")
    if tokens[-1] != _END or _END in tokens[:-1]:
        raise ValueError("expected one login module, with a semicolon at its end")
    options = tokens[2:-1]
    found: dict[str, str] = {}
    for index in range(0, len(options), 3):
        entry = options[index : index + 3]
        if len(entry) < 3 or entry[1] != _IS or entry[0] in _SIGNS or entry[2] in _SIGNS:
            raise ValueError(f"option {index // 3 + 1} isn't of the form name=value")
        if entry[0].text in found:
            raise ValueError(f"option {index // 3 + 1} is a duplicate")
        found[entry[0].text] = entry[2].text
    return LoginModule(tokens[0].text.rpartition(".")[2], found)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    sign: bool = False


_IS: Final = _Token("=", True)
_END: Final = _Token(";", True)
_SIGNS: Final = (_IS, _END)


def _tokens(text: str) -> list[_Token]:
    found = []
    position = _skip(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unexpected character or quotation mark at character {position + 1}")
        double, single, word, sign = match.groups()
        if sign is not None:
            found.append(_Token(sign, True))
        elif word is not None:
            found.append(_Token(word))
        else:
            quoted = double if double is not None else single
            found.append(_Token(_ESCAPE.sub(_unescaped, quoted)))
        position = _skip(text, match.end())
    return found


def _skip(text: str, position: int) -> int:
    """Return the start of the next token, after white space and comments."""
    found = _SKIPPED.match(text, position)
    return position if found is None else found.end()


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1].isdigit():
        raise ValueError("octal escapes aren't supported")
    return _ESCAPED.get(escape[1], escape[1])
