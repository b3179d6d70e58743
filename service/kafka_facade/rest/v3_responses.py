"""v3: responses with resources."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core.links import KINDS, Kind
from kafka_facade.rest.encoding import encode, list_body, resource_document
from kafka_facade.rest.exchange import Exchange, Response


def resource_response(exchange: Exchange, resource: object) -> Response:
    """One resource."""
    return Response(body=encode(resource_document(resource, exchange.base, exchange.options.resource_name_authority)))


def created_response(exchange: Exchange, resource: object, *, created: bool) -> Response:
    """A resource that was created (or, if only validated, would have been), with its location."""
    response = resource_response(exchange, resource)
    response.status = 201 if created else 200
    location = exchange.base + KINDS[type(resource)].self_path(resource)
    response.headers.append((b"location", location.encode()))
    return response


async def list_response(exchange: Exchange, kind: Kind, resources: Sequence[object]) -> Response:
    """A list of resources, whose self link is the requested URL."""
    authority = exchange.options.resource_name_authority
    return Response(body=await list_body(kind, resources, exchange.url, exchange.base, authority))
