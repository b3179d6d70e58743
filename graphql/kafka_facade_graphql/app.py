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

from kafka_facade.core.facade import Facade
from kafka_facade.web.refusal import refusal
from kafka_facade_graphql import ide
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.transport import GraphQLEndpoint


class _Assets(StaticFiles):
    """Files that a browser keeps, but asks about: their names stay when a new version comes."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(facade: Facade, options: GraphQLOptions) -> ASGIApp:
    """The application, for the scopes http and websocket; it serves ``options.path`` and what is below it."""
    endpoint = GraphQLEndpoint(facade, options)
    routes: list[BaseRoute] = []
    # A link that ends with a slash means the same, as it does on the REST face.
    for path in (options.path, options.path + "/"):
        routes += [Route(path, endpoint), WebSocketRoute(path, endpoint)]
    if options.graphiql:
        routes.append(Mount(options.path + "/static", _Assets(directory=ide.assets())))
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_here})


async def _not_here(_request: Request, error: Exception) -> Response:
    """The answer below the path where there is nothing, or where a file is to be changed."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    headers = {"allow": "GET, HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else None
    return Response(refusal(status).body, status, headers, media_type="application/json")
