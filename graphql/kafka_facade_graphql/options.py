"""Options of the GraphQL face."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphQLOptions:
    """Settings of the GraphQL face; the runtime gives them their configuration keys."""

    path: str = "/graphql"
    """Where it is served; the GraphiQL assets are below it."""
    max_depth: int = 15
    """The deepest nesting of fields that a document may have."""
    max_aliases: int = 30
    """How many aliases a document may use: each can cost a request to Kafka."""
    max_tokens: int = 2000
    """How many lexical tokens a document may have."""
    max_document_bytes: int = 64 * 1024
    """The longest document, in bytes of UTF-8."""
    max_cost: int = 50_000
    """The highest cost of an operation: about how many fields its answer would hold, see :mod:`.limits`."""
    max_objects: int = 20_000
    """How many objects an answer may hold: nested lists multiply."""
    max_body_bytes: int = 4 * 1024 * 1024
    """The largest HTTP body, in bytes: the document and its variables. The server bounds websocket messages."""
    introspection: bool = True
    """Whether callers can read the schema."""
    graphiql: bool = True
    """Whether a browser gets the GraphiQL page."""
