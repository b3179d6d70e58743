"""Recognizes settings that hold secrets, and redacts secrets from logs, error messages and ``repr``."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
"""Replacement text for a secret."""

_SECRET_NAME: Final = re.compile(
    r"passw|secret|jaas|user[._]?info|private|credentials?$|assertion|oauthbearer\.config|kinit\.cmd"
    r"|(^|[._-])token([._]?value)?$|(^|[._-])key(\.pem)?$"
)
# Misspelled names count too, because the message about an unknown setting quotes its value.
_MISSPELLED: Final = ("passphrase", "passwd", "password", "secret")
_WORD_OF_A_NAME: Final = re.compile(r"[a-z]+")
_ALIKE: Final = 0.8
# A word that may contain a URL or "user:password@host"; unencoded passwords may contain any other character.
_WORD: Final = re.compile(r"[^\s'\"<>]+")
_SCHEME_END: Final = "://"
# Characters that may precede a user name without a scheme.
_BEFORE_USER: Final = str.maketrans(dict.fromkeys(",;/&|(){}[]", "="))
# An Authorization header; below, an assignment as in a JAAS configuration, or a member of a JSON object.
_HEADER: Final = re.compile(r"\b((?i:basic|bearer))\s+(?=[a-z._~+/-]*[A-Z0-9=])(?!realm=)[A-Za-z0-9._~+/=-]{6,}")
_ASSIGNMENT: Final = re.compile(
    r"""(?i)((?:password|secret|token|passphrase)["']?\s*[=:]\s*)(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[^\s,;&'"})]+)"""
)
_PEM: Final = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_JAAS_SECRET: Final = re.compile(
    r"""(?i)(?:password|secret|token)\s*=\s*(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^\s;"']+))""", re.DOTALL
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
# Base64 turns 3 bytes into 4 characters.
_BASE64_BYTES: Final = 3
_BASE64_CHARACTERS: Final = 4
_URL_SAFE: Final = str.maketrans("+/", "-_")
_ESCAPED: Final = re.compile("%[0-9A-F]{2}")
_MOST_CHARACTERS: Final = 200
# Search only this many characters of a value for credentials; far fewer are shown.
_MOST_SEARCHED: Final = 4_096
# Do not redact shorter secrets: they are often ordinary words, and logs would become unreadable.
_SHORTEST: Final = 5


def is_secret(name: str) -> bool:
    """Return whether a setting of this name holds a secret."""
    name = name.lower()
    if _SECRET_NAME.search(name) is not None:
        return True
    return any(get_close_matches(word, _MISSPELLED, 1, _ALIKE) for word in _WORD_OF_A_NAME.findall(name))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Redact credentials in URLs and headers, assigned passwords, and the given ``secrets``."""
    # Longest first, because a secret may be a part of another one.
    for secret in sorted(secrets, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = _WORD.sub(_without_user_info, text)
    text = _HEADER.sub(rf"\1 {HIDDEN}", text)
    text = _ASSIGNMENT.sub(rf"\1{HIDDEN}", text)
    return _PEM.sub(rf"\1{HIDDEN}\2", text) if "PRIVATE KEY" in text else text


def _without_user_info(word: re.Match[str]) -> str:
    """Redact the user info before the last ``@`` of a word, in linear time."""
    text = word[0]
    end = text.rfind("@")
    colon = text.find(":", 0, end) if end > 0 else -1
    if colon < 0:
        return text
    if text.startswith(_SCHEME_END, colon):
        start = colon + len(_SCHEME_END)
    else:
        start = 1 + text[:colon].translate(_BEFORE_USER).rfind("=")
    return text if start == end else f"{text[:start]}{HIDDEN}{text[end:]}"


def shown(name: str, value: str) -> str:
    """Return a setting's value for messages: truncated and redacted, or hidden if the setting is a secret."""
    if is_secret(name):
        return HIDDEN
    # A password may contain spaces or quotes, so everything before the last "@" may be credentials.
    end = value.rfind("@")
    colon = value.find(":", 0, end) if end > 0 else -1
    if colon >= 0:
        start = colon + len(_SCHEME_END) if value.startswith(_SCHEME_END, colon) else 0
        value = f"{value[:start][:_MOST_CHARACTERS]}{HIDDEN}{value[end:]}"
    text = redact(value[:_MOST_SEARCHED])
    return repr(text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}...")


def secrets_of(properties: Mapping[str, str]) -> set[str]:
    """Return the secrets among these settings that are long enough to redact."""
    found: set[str] = set()
    for name, value in properties.items():
        if is_secret(name):
            found.add(value)
            # The password in "user:password" or in a JAAS configuration may appear on its own elsewhere.
            found.add(value.partition(":")[2])
            for quoted, single, bare in _JAAS_SECRET.findall(value):
                found.add(quoted or single or bare)
                found.add(_ESCAPE.sub(r"\1", quoted or single))
    return {spelling for secret in found if len(secret) >= _SHORTEST for spelling in _spellings(secret)}


def _spellings(secret: str) -> set[str]:
    """The secret unchanged, URL-encoded, as in a ``repr``, JSON and HTML, and in the Base64 of a text that contains it.

    OAuth clients encode the id and the secret for URLs before they join them (RFC 6749, section 2.3.1).
    """
    encoded = {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    # Error pages escape what they quote.
    escaped = {repr(secret)[1:-1], json.dumps(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False)}
    found = encoded | escaped
    for text in encoded:
        data = text.encode(errors="replace")
        found |= _url_spellings(b64encode(data).decode())
        for before in range(_BASE64_BYTES):
            found |= _url_spellings(_base64_core(data, before))
    return found


def _base64_core(data: bytes, before: int) -> str:
    """The Base64 characters that depend on nothing but ``data``, which follows ``before`` other bytes (0 to 2)."""
    first = -(-before * _BASE64_CHARACTERS // _BASE64_BYTES)
    end = (before + len(data)) * _BASE64_CHARACTERS // _BASE64_BYTES
    return b64encode(bytes(before) + data).decode()[first:end]


def _url_spellings(base64: str) -> set[str]:
    """Base64 in both alphabets (RFC 4648), also URL-encoded."""
    found = {base64, base64.translate(_URL_SAFE), base64.rstrip("=")}
    for text in (base64, base64.rstrip("=")):
        escaped = quote(text, safe="")
        found |= {escaped, _ESCAPED.sub(lambda byte: byte[0].lower(), escaped)}
    return found


class SecretProperties(dict[str, str]):
    """Settings by name, with a ``repr`` that hides secrets."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {shown(name, value)}" for name, value in self.items()) + "}"

    __str__ = __repr__
