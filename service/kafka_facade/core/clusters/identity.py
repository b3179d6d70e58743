"""The id of the cluster, which never changes and is therefore cached."""

from __future__ import annotations

from kafka_facade.core.call import Call
from kafka_facade.core.clusters.port import ClusterPort
from kafka_facade.core.errors import ClusterNotFound


class ClusterIdentity:
    """Knows the id of a cluster, as Kafka has told it to one identity."""

    def __init__(self, admin: ClusterPort) -> None:
        self._admin = admin
        self._cluster_id: str | None = None

    async def cluster_id(self, call: Call) -> str:
        """The cluster's id."""
        if self._cluster_id is None:
            cluster, _ = await self._admin.describe_cluster(call.remaining)
            self._cluster_id = cluster.cluster_id
        return self._cluster_id

    async def check(self, cluster_id: str | None, call: Call) -> str:
        """Return the cluster's id. Raises ClusterNotFound if the caller gave a different one."""
        own = await self.cluster_id(call)
        if cluster_id is not None and cluster_id != own:
            raise ClusterNotFound.of(cluster_id)
        return own
