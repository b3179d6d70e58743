"""v3: configs of topics, of brokers, and of all brokers together."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterClusterConfigs,
    AlterMultipleTopicConfigs,
    AlterOperation,
    AlterTopicConfigs,
    ConfigAlteration,
    GetBrokerConfig,
    GetClusterConfig,
    GetTopicConfig,
    ListAllBrokerConfigs,
    ListBrokerConfigs,
    ListClusterConfigs,
    ListTopicConfigs,
    ResetBrokerConfig,
    ResetClusterConfig,
    ResetTopicConfig,
    TopicConfigAlterations,
    UpdateBrokerConfig,
    UpdateClusterConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.links import BROKER_CONFIG, CLUSTER_CONFIG, TOPIC_CONFIG
from kafka_facade.rest.bodies import BodyDecoder, Setting, StrictBody, setting_text
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.errors import error_body
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import list_response, resource_response


class V3ConfigValue(StrictBody):
    """The value of a config."""

    value: Setting = None


class V3Alteration(StrictBody):
    """One change of a config."""

    name: str
    value: Setting = None
    operation: AlterOperation | None = None


class V3Alterations(StrictBody):
    """Changes of configs."""

    data: list[V3Alteration]
    validate_only: bool | None = None


class V3TopicAlterations(StrictBody):
    """Changes of the configs of a topic."""

    topic_name: str
    configs: list[V3Alteration]


class V3MultipleAlterations(StrictBody):
    """Changes of the configs of several topics."""

    data: list[V3TopicAlterations]
    validate_only: bool | None = None


_value = BodyDecoder(V3ConfigValue)
_alterations = BodyDecoder(V3Alterations)
_multiple = BodyDecoder(V3MultipleAlterations)


@route("api.v3.topic-configs.list")
async def list_configs(exchange: Exchange) -> Response:
    """The configs of a topic, or of all topics."""
    request = ListTopicConfigs(exchange.parameters["cluster_id"], exchange.parameters.get("topic_name"))
    configs = await exchange.run(request)
    return await list_response(exchange, TOPIC_CONFIG, configs)


@route("api.v3.topic-configs.get")
async def get_config(exchange: Exchange) -> Response:
    """A config by its name."""
    request = GetTopicConfig(**exchange.parameters)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.topic-configs.update")
async def update_config(exchange: Exchange) -> Response:
    """Set a config."""
    body = _value.required(await exchange.body())
    request = UpdateTopicConfig(**exchange.parameters, value=setting_text(body.value))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.topic-configs.delete")
async def reset_config(exchange: Exchange) -> Response:
    """Put a config back to its default."""
    await exchange.run(ResetTopicConfig(**exchange.parameters))
    return NO_CONTENT


@route("api.v3.topic-configs.alter")
async def alter_configs(exchange: Exchange) -> Response:
    """Set and reset several configs at once."""
    body = _alterations.required(await exchange.body())
    request = AlterTopicConfigs(**exchange.parameters, data=_changes(body.data), validate_only=bool(body.validate_only))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.topic-configs.alter-multi")
async def alter_multiple(exchange: Exchange) -> Response:
    """Set and reset configs of several topics: 204, or 207 with the topics that Kafka refused."""
    body = _multiple.required(await exchange.body())
    changes = [TopicConfigAlterations(entry.topic_name, _changes(entry.configs)) for entry in body.data]
    request = AlterMultipleTopicConfigs(**exchange.parameters, data=changes, validate_only=bool(body.validate_only))
    failures = await exchange.run(request)
    if not failures:
        return NO_CONTENT
    entries = []
    for failure in failures:
        error = error_body(failure.error, exchange.version)
        entries.append({"topic_name": failure.topic_name, "error_code": error.error_code, "message": error.message})
    return Response(207, encode({"failures": entries}))


@route("api.v3.broker-configs.list")
async def list_broker_configs(exchange: Exchange) -> Response:
    """The configs of a broker."""
    request = ListBrokerConfigs(exchange.parameters["cluster_id"], exchange.integer("broker_id"))
    configs = await exchange.run(request)
    return await list_response(exchange, BROKER_CONFIG, configs)


@route("api.v3.brokers-configs.list")
async def list_all_broker_configs(exchange: Exchange) -> Response:
    """The configs of all brokers."""
    request = ListAllBrokerConfigs(**exchange.parameters)
    configs = await exchange.run(request)
    return await list_response(exchange, BROKER_CONFIG, configs)


@route("api.v3.broker-configs.get")
async def get_broker_config(exchange: Exchange) -> Response:
    """A config of a broker by its name."""
    request = GetBrokerConfig(*_of_broker(exchange), exchange.parameters["name"])
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.broker-configs.update")
async def update_broker_config(exchange: Exchange) -> Response:
    """Set a config of a broker."""
    where = _of_broker(exchange)
    body = _value.required(await exchange.body())
    request = UpdateBrokerConfig(*where, exchange.parameters["name"], setting_text(body.value))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.broker-configs.delete")
async def reset_broker_config(exchange: Exchange) -> Response:
    """Take back a broker's own setting of a config."""
    request = ResetBrokerConfig(*_of_broker(exchange), exchange.parameters["name"])
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.broker-configs.alter")
async def alter_broker_configs(exchange: Exchange) -> Response:
    """Set and reset several configs of a broker at once."""
    where = _of_broker(exchange)
    body = _alterations.required(await exchange.body())
    request = AlterBrokerConfigs(*where, _changes(body.data), bool(body.validate_only))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.cluster-configs.list")
async def list_cluster_configs(exchange: Exchange) -> Response:
    """The dynamic configs that are set for all brokers."""
    request = ListClusterConfigs(**exchange.parameters)
    configs = await exchange.run(request)
    return await list_response(exchange, CLUSTER_CONFIG, configs)


@route("api.v3.cluster-configs.get")
async def get_cluster_config(exchange: Exchange) -> Response:
    """A dynamic config of all brokers by its name."""
    request = GetClusterConfig(**exchange.parameters)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.cluster-configs.update")
async def update_cluster_config(exchange: Exchange) -> Response:
    """Set a config for all brokers."""
    body = _value.required(await exchange.body())
    request = UpdateClusterConfig(**exchange.parameters, value=setting_text(body.value))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.cluster-configs.delete")
async def reset_cluster_config(exchange: Exchange) -> Response:
    """Delete a dynamic config of all brokers."""
    await exchange.run(ResetClusterConfig(**exchange.parameters))
    return NO_CONTENT


@route("api.v3.cluster-configs.alter")
async def alter_cluster_configs(exchange: Exchange) -> Response:
    """Set and delete several dynamic configs of all brokers at once."""
    body = _alterations.required(await exchange.body())
    request = AlterClusterConfigs(
        **exchange.parameters, data=_changes(body.data), validate_only=bool(body.validate_only)
    )
    await exchange.run(request)
    return NO_CONTENT


def _of_broker(exchange: Exchange) -> tuple[str, int]:
    return exchange.parameters["cluster_id"], exchange.integer("broker_id")


def _changes(entries: Iterable[V3Alteration]) -> list[ConfigAlteration]:
    return [
        ConfigAlteration(entry.name, setting_text(entry.value), entry.operation or AlterOperation.SET)
        for entry in entries
    ]
