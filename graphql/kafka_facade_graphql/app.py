"""The GraphQL face as an ASGI application."""

from __future__ import annotations

from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from kafka_facade.core.core import Core
from kafka_facade.web.refusal import refusal
from kafka_facade_graphql import ide
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.schema import GRAPH, Graph
from kafka_facade_graphql.transport import GraphQLEndpoint


class _Assets(StaticFiles):
    """Static files that browsers must revalidate, because their names do not change between versions."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(core: Core, options: GraphQLOptions, graph: Graph = GRAPH) -> ASGIApp:
    """Create the ASGI application for HTTP and websockets; it serves ``options.path`` and paths below it."""
    endpoint = GraphQLEndpoint(core, options, graph)
    routes: list[BaseRoute] = []
    # As on the REST face, a trailing slash is ignored.
    for path in (options.path, options.path + "/"):
        routes += [Route(path, endpoint), WebSocketRoute(path, endpoint)]
    if options.graphiql:
        routes.append(Mount(options.path + "/static", _Assets(directory=ide.assets())))
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_here})


async def _not_here(_request: Request, error: Exception) -> Response:
    """The response for an unknown path, or a method that files do not support."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    headers = {"allow": "GET, HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else None
    return Response(refusal(status).body, status, headers, media_type="application/json")
