"""Configs of single brokers (reference: "Configs (v3)"; KIP-226, KIP-339)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.configs.changes import check_values, config_not_found, find, is_broker_config
from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterOperation,
    BrokerConfig,
    ConfigAlteration,
    GetBrokerConfig,
    ListAllBrokerConfigs,
    ListBrokerConfigs,
    ReadBrokerConfigs,
    ResetBrokerConfig,
    UpdateBrokerConfig,
)
from kafka_facade.core.errors import FacadeError, NotFound
from kafka_facade.core.registry import also_answers, implements


class BrokerConfigs:
    """Operations on the configs of single brokers. An unknown one is NotFound, one that is down RetriableKafkaError."""

    @implements("api.v3.broker-configs.list")
    async def list_configs(self, call: Call, request: ListBrokerConfigs) -> Sequence[BrokerConfig]:
        """The configs of a broker, ordered by name."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return await self._of(call, request.broker_id)

    @implements("api.v3.brokers-configs.list")
    async def list_all(self, call: Call, request: ListAllBrokerConfigs) -> Sequence[BrokerConfig]:
        """The configs of all live brokers, ordered by broker and name; fails if one does not answer."""
        await call.kafka.cluster.check(request.cluster_id, call)
        found = []
        for configs in await call.kafka.configs.broker_configs(None, call.remaining):
            if isinstance(configs, FacadeError):
                raise configs
            found += configs
        return found

    @also_answers("api.v3.broker-configs.list", "api.v3.broker-configs.get")
    async def read_configs(
        self, call: Call, request: ReadBrokerConfigs
    ) -> Sequence[Sequence[BrokerConfig] | FacadeError]:
        """The configs of many brokers at once; a broker whose configs cannot be read is replaced by its error."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return await call.kafka.configs.broker_configs(request.keys, call.remaining)

    @implements("api.v3.broker-configs.get")
    async def get_config(self, call: Call, request: GetBrokerConfig) -> BrokerConfig:
        """One config; NotFound for a name that the broker does not have."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return find(await self._of(call, request.broker_id), request.name)

    @implements("api.v3.broker-configs.update")
    async def update_config(self, call: Call, request: UpdateBrokerConfig) -> None:
        """Set one config; NotFound, InvalidKafkaRequest for what Kafka rejects, such as a config that is read-only."""
        change = ConfigAlteration(request.name, request.value)
        await self._change(call, request.cluster_id, request.broker_id, change)

    @implements("api.v3.broker-configs.delete")
    async def reset_config(self, call: Call, request: ResetBrokerConfig) -> None:
        """Remove the broker's own setting of one config; NotFound."""
        change = ConfigAlteration(request.name, operation=AlterOperation.DELETE)
        await self._change(call, request.cluster_id, request.broker_id, change)

    @implements("api.v3.broker-configs.alter")
    async def alter_configs(self, call: Call, request: AlterBrokerConfigs) -> None:
        """Set or reset several configs at once, or only validate the changes; all or nothing."""
        limits.check_length(request.data, limits.CONFIGS, "data")
        await call.kafka.cluster.check(request.cluster_id, call)
        known = {config.name for config in await self._of(call, request.broker_id)}
        for change in request.data:
            if not is_broker_config(change.name, known):
                raise NotFound(name=change.name)
        check_values(request.data, "data")
        if request.data:
            await call.kafka.configs.alter_broker_configs(
                request.broker_id, request.data, request.validate_only, call.remaining
            )

    async def _change(self, call: Call, cluster_id: str | None, broker_id: int, change: ConfigAlteration) -> None:
        own = await call.kafka.cluster.check(cluster_id, call)
        known = {config.name for config in await self._of(call, broker_id)}
        if not is_broker_config(change.name, known):
            raise config_not_found(change.name, f"BROKER {broker_id}", own)
        check_values([change])
        await call.kafka.configs.alter_broker_configs(broker_id, [change], False, call.remaining)

    async def _of(self, call: Call, broker_id: int) -> Sequence[BrokerConfig]:
        [found] = await call.kafka.configs.broker_configs([broker_id], call.remaining)
        if isinstance(found, FacadeError):
            raise found
        return found
