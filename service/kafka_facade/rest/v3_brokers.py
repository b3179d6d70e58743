"""v3: operations on brokers whose answers are not resources or have the status 202."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.broker_tasks.model import RemoveBroker, RemoveBrokers
from kafka_facade.core.clusters.model import UnregisterBroker
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.links import BROKER_REMOVAL
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.request_bodies import RequestBody
from kafka_facade.rest.v3_responses import list_response, resource_response

_SHUTDOWN: Final = "should_shutdown"
_BOOLEANS: Final = {"true": True, "false": False}

_removed = RequestBody(RemoveBrokers, ("cluster_id", _SHUTDOWN))


@route("api.v3.brokers.unregister")
async def unregister_broker(exchange: Exchange) -> Response:
    """Unregister a broker: 202 with its id."""
    request = UnregisterBroker(exchange.parameters["cluster_id"], exchange.integer("broker_id"))
    done = await exchange.run(request)
    return Response(202, encode({"cluster_id": done.cluster_id, "broker_id": done.broker_id}))


@route("api.v3.brokers.delete")
async def remove_broker(exchange: Exchange) -> Response:
    """Begin to remove a broker: 202."""
    cluster_id, broker_id = exchange.parameters["cluster_id"], exchange.integer("broker_id")
    response = resource_response(
        exchange, await exchange.run(RemoveBroker(cluster_id, broker_id, _should_shutdown(exchange)))
    )
    response.status = 202
    return response


@route("api.v3.brokers.delete-batch")
async def remove_brokers(exchange: Exchange) -> Response:
    """Begin to remove several brokers: 202."""
    values = _removed.read(await exchange.body())
    request = RemoveBrokers(exchange.parameters["cluster_id"], **values, should_shutdown=_should_shutdown(exchange))
    response = await list_response(exchange, BROKER_REMOVAL, await exchange.run(request), exchange.url)
    response.status = 202
    return response


def _should_shutdown(exchange: Exchange) -> bool:
    text = exchange.query(_SHUTDOWN)
    if text is None:
        return True
    if text.lower() not in _BOOLEANS:
        raise InvalidRequest(f"{_SHUTDOWN} must be true or false.", field=_SHUTDOWN)
    return _BOOLEANS[text.lower()]
