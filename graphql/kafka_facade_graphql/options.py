"""Options of the GraphQL face."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import boolean, integer, path


@dataclass(frozen=True, slots=True)
class GraphQLOptions:
    """GraphQL."""

    enabled: bool = setting("graphql.enable", "true", boolean)
    """Serve GraphQL."""

    path: str = setting("graphql.path", "/graphql", path)
    """Path of the GraphQL endpoint."""

    graphiql: bool = setting("graphql.graphiql.enable", "true", boolean)
    """Serve GraphiQL to browsers at ``graphql.path``."""

    introspection: bool = setting("graphql.introspection.enable", "true", boolean)
    """Allow introspection queries."""

    max_depth: int = setting("graphql.max.depth", "15", integer(1))
    """Maximum depth of a query."""

    max_aliases: int = setting("graphql.max.aliases", "30", integer(0))
    """Maximum number of aliases in a query."""

    max_tokens: int = setting("graphql.max.tokens", "2000", integer(1))
    """Maximum number of tokens in a query."""

    max_document_bytes: int = setting("graphql.max.document.size", "65536", integer(1024))
    """Maximum size of a GraphQL document, in bytes."""

    max_body_bytes: int = setting("graphql.max.request.size", "4194304", integer(1024))
    """Maximum size of a GraphQL request: the document and its variables, over HTTP or in a websocket message."""

    max_cost: int = setting("graphql.max.cost", "50000", integer(1))
    """Maximum cost of an operation: about the number of fields in its response plus entries in its arguments."""

    max_objects: int = setting("graphql.max.objects", "20000", integer(1))
    """Maximum number of objects in a response; the sizes of nested lists multiply."""
