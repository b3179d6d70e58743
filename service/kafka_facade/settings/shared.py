"""Settings that several rooms obey."""

from __future__ import annotations

from kafka_facade.settings.declaration import Setting
from kafka_facade.settings.parsers import boolean, integer, public_urls, seconds, size

MAX_REQUEST_BODY_SIZE = Setting("max.request.body.size", "67108864", size(1024))
"""Maximum size of a request body, of one record in a streamed body, and of a gRPC message, for which
``grpc.max.request.bytes`` is smaller by default."""

REQUEST_BODY_TIMEOUT = Setting("request.body.timeout.ms", "60000", seconds(100))
"""Maximum time from the end of an HTTP request's head to the end of its body. In a stream of records the limit applies
to each record, and ``streaming.connection.max.duration.ms`` to the whole stream. A websocket message must arrive within
this time after its first byte, and the request of a gRPC call, or the first one of a stream of requests, after its
metadata."""

STREAM_BYTES = Setting("streaming.max.in.flight.bytes", "16777216", integer(65_536))
"""Maximum unanswered bytes of one streamed produce request or ProduceStream; above that the gateway stops reading it. A
record that Kafka has acknowledged counts as 512 bytes until the caller has read its answer. A larger record or message
is taken only while no other is unanswered."""

RESPONSE_WRITE_TIMEOUT = Setting("response.write.timeout.ms", "60000", seconds(100))
"""Maximum time that a client may stop reading a response. After that the gateway closes the HTTP or websocket
connection, or ends the gRPC call (its connection, if that takes no status either)."""

ADVERTISED_LISTENERS = Setting("advertised.listeners", "", public_urls)
"""Base URLs of links, such as ``https://proxy-1.example.org``, comma-separated. Links use the first URL with the
request's scheme, or else the first one."""

HOST_NAME = Setting("host.name", "", str)
"""Host name in links if ``advertised.listeners`` is empty; default: the host of the request."""

FORWARDED = Setting("network.forwarded.request.customizer.enable", "false", boolean)
"""Take scheme, host and port of links from ``Forwarded`` or ``X-Forwarded-Proto``, ``-Host`` and ``-Port``."""

WORKERS = Setting("workers", "1", integer(1, 256))
"""Number of worker processes that share the ports. Each of them serves calls for all consumer instances."""

REQUEST_TIMEOUT = Setting("api.request.timeout.ms", "30000", seconds(100))
"""Default deadline of a call. By then a produced record has been delivered or has failed; if it timed out, its outcome
is unknown, since a broker that has received it may still store it. A gRPC deadline can only shorten it. It does not
apply to streams or to reads of consumer instances (``consumer.request.timeout.ms``)."""

INSTANCE_TIMEOUT = Setting("consumer.instance.timeout.ms", "300000", integer(1000))
"""Idle timeout of a consumer instance."""

INSTANCES_MAX = Setting("consumer.instances.max", "1000", integer(1))
"""Maximum consumer instances per worker. One process cannot hold more than about 1,000."""
