"""Dynamic configs that all brokers of a cluster share (reference: "Configs (v3)"; KIP-226, KIP-339)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.configs.changes import check_values, config_not_found, find, is_broker_config
from kafka_facade.core.configs.model import (
    AlterClusterConfigs,
    AlterOperation,
    BrokerConfig,
    ClusterConfig,
    ConfigAlteration,
    GetClusterConfig,
    ListClusterConfigs,
    ResetClusterConfig,
    UpdateClusterConfig,
)
from kafka_facade.core.errors import FacadeError, KafkaTimeout, NotFound
from kafka_facade.core.registry import also_answers, implements

# What Kafka calls the resource: a broker without a name.
_OWNER = "BROKER "


class ClusterConfigs:
    """Operations on cluster-wide dynamic configs: only those that are set exist."""

    @implements("api.v3.cluster-configs.list")
    @also_answers("api.v3.cluster-configs.get")
    async def list_configs(self, call: Call, request: ListClusterConfigs) -> Sequence[ClusterConfig]:
        """The configs that are set, ordered by name."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return await call.kafka.configs.cluster_configs(call.remaining)

    @implements("api.v3.cluster-configs.get")
    async def get_config(self, call: Call, request: GetClusterConfig) -> ClusterConfig:
        """One config; NotFound if it is not set."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return find(await call.kafka.configs.cluster_configs(call.remaining), request.name)

    @implements("api.v3.cluster-configs.update")
    async def update_config(self, call: Call, request: UpdateClusterConfig) -> None:
        """Set one config; NotFound for a name that brokers do not have, InvalidKafkaRequest for what Kafka rejects."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        change = ConfigAlteration(request.name, request.value)
        if await self._unknown(call, [change]):
            raise config_not_found(request.name, _OWNER, cluster_id)
        check_values([change])
        await call.kafka.configs.alter_cluster_configs([change], False, call.remaining)

    @implements("api.v3.cluster-configs.delete")
    async def reset_config(self, call: Call, request: ResetClusterConfig) -> None:
        """Delete one config; NotFound if it is not set."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        if all(config.name != request.name for config in await call.kafka.configs.cluster_configs(call.remaining)):
            raise config_not_found(request.name, _OWNER, cluster_id)
        change = ConfigAlteration(request.name, operation=AlterOperation.DELETE)
        await call.kafka.configs.alter_cluster_configs([change], False, call.remaining)

    @implements("api.v3.cluster-configs.alter")
    async def alter_configs(self, call: Call, request: AlterClusterConfigs) -> None:
        """Set or delete several configs at once, or only validate the changes; all or nothing."""
        limits.check_length(request.data, limits.CONFIGS, "data")
        await call.kafka.cluster.check(request.cluster_id, call)
        for name in await self._unknown(call, request.data):
            raise NotFound(name=name)
        check_values(request.data, "data")
        if request.data:
            await call.kafka.configs.alter_cluster_configs(request.data, request.validate_only, call.remaining)

    async def _unknown(self, call: Call, changes: Sequence[ConfigAlteration]) -> list[str]:
        """Return the names that are neither set nor known to brokers."""
        if not changes:
            return []
        known = {config.name for config in await self._of_any_broker(call)}
        known |= {config.name for config in await call.kafka.configs.cluster_configs(call.remaining)}
        return [change.name for change in changes if not is_broker_config(change.name, known)]

    async def _of_any_broker(self, call: Call) -> Sequence[BrokerConfig]:
        _, brokers = await call.kafka.admin.describe_cluster(call.remaining)
        error: FacadeError = KafkaTimeout()
        for broker in brokers:
            [found] = await call.kafka.configs.broker_configs([broker.broker_id], call.remaining)
            if not isinstance(found, FacadeError):
                return found
            error = found
        raise error
