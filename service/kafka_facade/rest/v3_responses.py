"""v3: responses with resources."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from kafka_facade.core.links import Kind
from kafka_facade.rest.encoding import encode, encode_array
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.sending import PartedResponse, while_sent


def resource_response(exchange: Exchange, resource: object) -> Response:
    """One resource."""
    return Response(body=encode(exchange.document_maker()(resource)))


def created_response(exchange: Exchange, resource: object, *, created: bool) -> Response:
    """A resource that was created (or, if only validated, would have been), with its location."""
    document = exchange.document_maker()(resource)
    location: str = document["metadata"]["self"]
    return Response(201 if created else 200, encode(document), [(b"location", location.encode())])


async def list_response(exchange: Exchange, kind: Kind, resources: Sequence[object], url: str) -> Response:
    """A list of resources, whose self link is ``url``."""
    return Response(body=await encode_array(resources, exchange.document_maker(), _list_head(kind, url), b"}"))


async def long_list_response(
    exchange: Exchange, kind: Kind, resources: Sequence[object], query: str = ""
) -> Response | None:
    """A list of resources, whose self link is the requested URL with a query.

    If it is long, it is sent while it is encoded, so that it takes little memory besides the resources.
    """
    parts = PartedResponse(exchange)
    head = _list_head(kind, exchange.url + query)
    async with AsyncExitStack() as memory:

        async def send(part: bytearray, share: float) -> None:
            if not exchange.connection.started:
                # The resources take no more memory than they do in JSON.
                await memory.enter_async_context(while_sent(exchange.core, exchange.connection, int(len(part) / share)))
            await parts.write(part)

        last = await encode_array(resources, exchange.document_maker(), head, b"}", send)
        if not exchange.connection.started:
            return Response(body=last)
        await parts.finish(last)
    return None


def _list_head(kind: Kind, link: str) -> bytes:
    return encode({"kind": f"{kind.name}List", "metadata": {"self": link, "next": None}})[:-1] + b',"data":'
