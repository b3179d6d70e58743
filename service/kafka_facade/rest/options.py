"""Options of the REST face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestOptions:
    """Settings of the REST face."""

    v2_enabled: bool = True
    """Whether the v2 API answers."""

    v3_enabled: bool = True
    """Whether the v3 API answers."""

    max_body_bytes: int = 64 * 1024 * 1024
    """Maximum size in bytes of a body, or of a record in a stream; a larger one is error 413."""

    resource_name_authority: str = ""
    """The authority in Confluent resource names: ``crn://authority/kafka=...``."""

    compression: bool = True
    """Whether to compress responses with gzip if the caller accepts it."""

    stream_max_seconds: float = 86_400.0
    """How long a stream of records may stay open."""

    record_seconds: float = 60.0
    """How long a record of a stream may take to arrive, from its first byte to its last."""

    stream_max_in_flight: int = 10_000
    """Maximum number of unanswered records of one stream before reading pauses."""

    host_name: str = ""
    """The host in links; empty: that of the request."""

    advertised_listeners: Sequence[str] = ()
    """Base URLs of links, e.g. ``https://proxy-1.example.org:8082``; they take precedence over ``host_name``."""

    forwarded: bool = False
    """Whether to trust ``Forwarded`` and ``X-Forwarded-*`` for the requested scheme and host."""
