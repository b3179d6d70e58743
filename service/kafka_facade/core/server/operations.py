"""The gateway itself (reference: v2 root)."""

from __future__ import annotations

from importlib.metadata import version

from kafka_facade.core.call import Call
from kafka_facade.core.registry import implements, without_kafka
from kafka_facade.core.server.model import GetServerInfo, ServerInfo


class Server:
    """Operations on the gateway."""

    @implements("api.v2.root.get", "api.v2.root.post")
    @without_kafka
    async def get_info(self, call: Call, request: GetServerInfo) -> ServerInfo:
        """Name and version."""
        return ServerInfo("kafka-facade", version("kafka-facade"))
