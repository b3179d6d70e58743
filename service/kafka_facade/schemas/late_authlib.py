"""Defers confluent-kafka's import of authlib until OAuth is used.

authlib loads a second OpenSSL: 12 MB, a third of a second, and seven of the keys that `thread_keys` counts.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

_AUTHLIB: Final = "authlib.integrations.httpx_client"


def import_registry_client() -> None:
    """Import the client with a stand-in for authlib, whose two classes import the real ones when they are called."""
    if _AUTHLIB in sys.modules:
        return
    stand_in: Any = ModuleType(_AUTHLIB)
    stand_in.OAuth2Client, stand_in.AsyncOAuth2Client = _late("OAuth2Client"), _late("AsyncOAuth2Client")
    sys.modules[_AUTHLIB] = stand_in
    try:
        importlib.import_module("confluent_kafka.schema_registry")
    finally:
        del sys.modules[_AUTHLIB]


def _late(name: str) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(_AUTHLIB), name)(*args, **kwargs)

    return make
