"""Detects unknown settings that may be misspelled security settings."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9]+")
_SHORT: Final = frozenset(
    {
        "acl",
        "audit",
        "auth",
        "cert",
        "encryption",
        "jaas",
        "jwt",
        "ldap",
        "mtls",
        "oauth",
        "oauth2",
        "rbac",
        "sasl",
        "spnego",
        "ssl",
        "tls",
        "token",
        "trust",
        "user",
    }
)
# Misspellings of these words are recognized too.
_LONG: Final = (
    "authentication",
    "certificate",
    "credentials",
    "kerberos",
    "keystore",
    "oauthbearer",
    "passphrase",
    "password",
    "principal",
    "secret",
    "security",
    "truststore",
    "username",
)
_ALIKE: Final = 0.8
# Settings of interceptors that only collect metrics: their security concerns other connections.
_MEASURING: Final = "confluent.monitoring.interceptor."


def seems_security(name: str) -> bool:
    """Return whether an unknown client setting may concern security: misspelled, in capitals, or with another
    prefix."""
    if name.startswith(_MEASURING):
        return False
    return any(map(_is_of_security, _WORD.findall(name.lower())))


def _is_of_security(word: str) -> bool:
    # The dots between words may be missing.
    joined = any(part in word for part in _LONG)
    return word in _SHORT or joined or bool(get_close_matches(word, _LONG, 1, _ALIKE))
