"""v3: the operation on brokers whose answer is not a resource."""

from __future__ import annotations

from kafka_facade.core.clusters.model import UnregisterBroker
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route


@route("api.v3.brokers.unregister")
async def unregister_broker(exchange: Exchange) -> Response:
    """Unregister a broker: 202 with its id."""
    request = UnregisterBroker(exchange.parameters["cluster_id"], exchange.integer("broker_id"))
    done = await exchange.run(request)
    return Response(202, encode({"cluster_id": done.cluster_id, "broker_id": done.broker_id}))
