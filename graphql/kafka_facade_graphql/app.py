"""The GraphQL face as an ASGI application."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from kafka_facade.core.facade import Facade
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
    routes: list[BaseRoute] = [Route(options.path, endpoint), WebSocketRoute(options.path, endpoint)]
    if options.graphiql:
        routes.append(Mount(options.path.rstrip("/") + "/static", _Assets(directory=ide.assets())))
    return Starlette(routes=routes)
