"""v3: configs of topics, of brokers, and of all brokers together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterClusterConfigs,
    AlterMultipleTopicConfigs,
    AlterOperation,
    AlterTopicConfigs,
    ConfigAlteration,
    TopicConfigAlterations,
    UpdateBrokerConfig,
    UpdateClusterConfig,
    UpdateTopicConfig,
)
from kafka_facade.rest.bodies import BodyDecoder, Setting, StrictBody, setting_text
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.errors import error_body
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import body_of, route


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


@body_of(UpdateTopicConfig, UpdateBrokerConfig, UpdateClusterConfig, fields=("value",))
def read_value(body: bytes) -> dict[str, Any]:
    """The value to set."""
    return {"value": setting_text(_value.required(body).value)}


@body_of(AlterTopicConfigs, AlterBrokerConfigs, AlterClusterConfigs, fields=("data", "validate_only"))
def read_alterations(body: bytes) -> dict[str, Any]:
    """Several configs to set and to reset at once."""
    given = _alterations.required(body)
    return {"data": _changes(given.data), "validate_only": bool(given.validate_only)}


@route("api.v3.topic-configs.alter-multi")
async def alter_multiple(exchange: Exchange) -> Response:
    """Set and reset configs of several topics: 204, or 207 with the topics that Kafka rejected."""
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


def _changes(entries: Iterable[V3Alteration]) -> list[ConfigAlteration]:
    return [
        ConfigAlteration(entry.name, setting_text(entry.value), entry.operation or AlterOperation.SET)
        for entry in entries
    ]
