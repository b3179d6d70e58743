"""v3: the operation on configs whose answer has errors per topic."""

from __future__ import annotations

from kafka_facade.core.configs.model import AlterMultipleTopicConfigs
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.errors import error_body
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.request_bodies import RequestBody

_body = RequestBody(AlterMultipleTopicConfigs, ("cluster_id",))


@route("api.v3.topic-configs.alter-multi")
async def alter_multiple(exchange: Exchange) -> Response:
    """Set and reset configs of several topics: 204, or 207 with the topics that Kafka rejected."""
    request = AlterMultipleTopicConfigs(exchange.parameters["cluster_id"], **_body.read(await exchange.body()))
    failures = await exchange.run(request)
    if not failures:
        return NO_CONTENT
    entries = []
    for failure in failures:
        error = error_body(failure.error, exchange.version)
        entries.append({"topic_name": failure.topic_name, "error_code": error.error_code, "message": error.message})
    return Response(207, encode({"failures": entries}))
