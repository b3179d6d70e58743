"""Options of the REST face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import boolean, integer, seconds


@dataclass(frozen=True, slots=True)
class RestOptions:
    """REST."""

    v2_enabled: bool = setting("api.v2.enable", "true", boolean)
    """Serve the v2 REST API."""

    v3_enabled: bool = setting("api.v3.enable", "true", boolean)
    """Serve the v3 REST API."""

    max_body_bytes: int = shared.MAX_REQUEST_BODY_SIZE.field()

    resource_name_authority: str = setting("confluent.resource.name.authority", "", str)
    """Authority in the ``resource_name`` of v3 resources: ``crn://<authority>/kafka=...``."""

    compression: bool = setting("compression.enable", "true", boolean)
    """Compress REST responses for clients that accept gzip."""

    stream_max_seconds: float = setting("streaming.connection.max.duration.ms", "86400000", seconds(1000))
    """Maximum duration of a streamed produce request."""

    stream_max_in_flight: int = setting("streaming.max.in.flight.records", "10000", integer(1, 1_000_000))
    """Maximum unanswered records of one streamed produce request; above that the gateway stops reading its body."""

    stream_max_in_flight_bytes: int = shared.STREAM_BYTES.field()

    record_seconds: float = shared.REQUEST_BODY_TIMEOUT.field()

    host_name: str = shared.HOST_NAME.field()

    advertised_listeners: Sequence[str] = shared.ADVERTISED_LISTENERS.field()

    forwarded: bool = shared.FORWARDED.field()
