"""Options of the connections between workers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from kafka_facade.peers.loopback import loopback
from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting


def _listener(text: str) -> str:
    if text == "unix":
        return ""
    parts = urlsplit(text)
    if parts.scheme != "tcp" or parts.netloc not in (parts.hostname, f"[{parts.hostname}]") or parts.path:
        raise ValueError("unix, or tcp:// and an address without a port")
    return loopback(parts.hostname or "")


@dataclass(frozen=True, slots=True)
class PeersOptions:
    """Worker processes."""

    workers: int = shared.WORKERS.field()

    listener: str = setting("peers.listener", "unix", _listener)
    """How workers connect to each other: ``unix`` for Unix sockets in a temporary directory, or ``tcp://127.0.0.1`` for
    free ports on a loopback address. Over TCP workers authenticate each other with TLS. Other addresses are rejected,
    because all workers run on one machine."""
