"""The gateway itself, and what callers ask of it."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.request import Request


@dataclass(slots=True)
class ServerInfo:
    """The gateway itself."""

    name: str
    version: str


@dataclass(slots=True)
class GetServerInfo(Request[ServerInfo]):
    pass
