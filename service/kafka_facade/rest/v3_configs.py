"""v3: configs of topics."""

from __future__ import annotations

from kafka_facade.core.links import TOPIC_CONFIG
from kafka_facade.core.requests import (
    AlterTopicConfigs,
    ConfigAlteration,
    GetTopicConfig,
    ListTopicConfigs,
    ResetTopicConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.resources import AlterOperation
from kafka_facade.rest.bodies import BodyDecoder, V3Alterations, V3ConfigValue, setting_text
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import list_response, resource_response

_value = BodyDecoder(V3ConfigValue)
_alterations = BodyDecoder(V3Alterations)


@route("api.v3.topic-configs.list")
async def list_configs(exchange: Exchange) -> Response:
    """The configs of a topic, or of all topics."""
    request = ListTopicConfigs(exchange.parameters["cluster_id"], exchange.parameters.get("topic_name"))
    configs = await exchange.run(exchange.facade.topic_configs.list_configs, request)
    return list_response(exchange, TOPIC_CONFIG, configs)


@route("api.v3.topic-configs.get")
async def get_config(exchange: Exchange) -> Response:
    """A config by its name."""
    request = GetTopicConfig(**exchange.parameters)
    return resource_response(exchange, await exchange.run(exchange.facade.topic_configs.get_config, request))


@route("api.v3.topic-configs.update")
async def update_config(exchange: Exchange) -> Response:
    """Set a config."""
    body = _value.required(await exchange.body())
    request = UpdateTopicConfig(**exchange.parameters, value=setting_text(body.value))
    await exchange.run(exchange.facade.topic_configs.update_config, request)
    return NO_CONTENT


@route("api.v3.topic-configs.delete")
async def reset_config(exchange: Exchange) -> Response:
    """Put a config back to its default."""
    await exchange.run(exchange.facade.topic_configs.reset_config, ResetTopicConfig(**exchange.parameters))
    return NO_CONTENT


@route("api.v3.topic-configs.alter")
async def alter_configs(exchange: Exchange) -> Response:
    """Set and reset several configs at once."""
    body = _alterations.required(await exchange.body())
    changes = [
        ConfigAlteration(entry.name, setting_text(entry.value), entry.operation or AlterOperation.SET)
        for entry in body.data
    ]
    request = AlterTopicConfigs(**exchange.parameters, data=changes, validate_only=bool(body.validate_only))
    await exchange.run(exchange.facade.topic_configs.alter_configs, request)
    return NO_CONTENT
