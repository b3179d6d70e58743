"""v3: changes of broker replica exclusions (reference: "BrokerReplicaExclusion (v3)")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kafka_facade.core.exclusions.model import (
    BrokerReplicaExclusionAlteration,
    CreateBrokerReplicaExclusions,
    DeleteBrokerReplicaExclusions,
)
from kafka_facade.core.links import BROKER_REPLICA_EXCLUSION_ALTERATION as ALTERATION
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.request_bodies import RequestBody
from kafka_facade.rest.v3_responses import list_response

# The self link of the response is that of the list of exclusions.
_CREATE: Final = ":create"
_DELETE: Final = ":delete"
# Error codes begin with the HTTP status.
_STATUS_DIGITS: Final = 3

_created = RequestBody(CreateBrokerReplicaExclusions, ("cluster_id",))
_deleted = RequestBody(DeleteBrokerReplicaExclusions, ("cluster_id",))


@route("api.v3.broker-replica-exclusions.create")
async def create_exclusions(exchange: Exchange) -> Response:
    """Exclude brokers: 201, or the status of the first failure."""
    return await _alter(exchange, CreateBrokerReplicaExclusions, _created, _CREATE, 201)


@route("api.v3.broker-replica-exclusions.delete")
async def delete_exclusions(exchange: Exchange) -> Response:
    """Remove exclusions: 200, or the status of the first failure."""
    return await _alter(exchange, DeleteBrokerReplicaExclusions, _deleted, _DELETE, 200)


async def _alter(exchange: Exchange, kind: type[Any], body: RequestBody, verb: str, status: int) -> Response:
    request = kind(cluster_id=exchange.parameters["cluster_id"], **body.read(await exchange.body()))
    altered: Sequence[BrokerReplicaExclusionAlteration] = await exchange.run(request)
    failed = next((entry.error_code for entry in altered if entry.error_code is not None), None)
    response = await list_response(exchange, ALTERATION, altered, exchange.url.removesuffix(verb))
    response.status = status if failed is None else int(str(failed)[:_STATUS_DIGITS])
    return response
