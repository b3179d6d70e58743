"""v3: responses with resources."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core.links import Kind
from kafka_facade.rest.encoding import encode, encode_array
from kafka_facade.rest.exchange import Exchange, Response


def resource_response(exchange: Exchange, resource: object) -> Response:
    """One resource."""
    return Response(body=encode(exchange.document_maker()(resource)))


def created_response(exchange: Exchange, resource: object, *, created: bool) -> Response:
    """A resource that was created (or, if only validated, would have been), with its location."""
    document = exchange.document_maker()(resource)
    location: str = document["metadata"]["self"]
    return Response(201 if created else 200, encode(document), [(b"location", location.encode())])


async def list_response(
    exchange: Exchange, kind: Kind, resources: Sequence[object], query: str = "", *, url: str | None = None
) -> Response:
    """A list of resources, whose self link is ``url``, or the requested URL with a query."""
    link = exchange.url + query if url is None else url
    head = encode({"kind": f"{kind.name}List", "metadata": {"self": link, "next": None}})
    before = head[:-1] + b',"data":'
    return Response(body=await encode_array(resources, exchange.document_maker(), before, b"}"))
