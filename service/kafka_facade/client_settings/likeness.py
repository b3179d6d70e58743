"""Names that nobody knows, and that somebody may have meant to protect something with."""

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
# Of these a misspelling is recognized too.
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
# These only measure: what would protect their connections protects nothing of the gateway.
_MEASURING: Final = "confluent.monitoring.interceptor."


def seems_security(name: str) -> bool:
    """Whether an unknown client setting may be one of security: misspelt, in capitals, or with another prefix."""
    if name.startswith(_MEASURING):
        return False
    return any(map(_is_of_security, _WORD.findall(name.lower())))


def _is_of_security(word: str) -> bool:
    # Dots may have been left out.
    joined = any(part in word for part in _LONG)
    return word in _SHORT or joined or bool(get_close_matches(word, _LONG, 1, _ALIKE))
