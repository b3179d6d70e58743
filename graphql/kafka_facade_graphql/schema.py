"""The schema: the graph, and a placeholder for each operation of the catalogue that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import strawberry
from graphql import GraphQLError, OperationDefinitionNode
from strawberry.extensions import (
    AddValidationRules,
    DisableIntrospection,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.execution import ExecutionContext
from strawberry.types.field import StrawberryField

from kafka_facade.core.catalogue import EXTENSIONS, OPERATIONS
from kafka_facade_graphql.acls import AclMutations
from kafka_facade_graphql.consumer_mutations import ConsumerMutations
from kafka_facade_graphql.context import Context
from kafka_facade_graphql.errors import TranslateErrors
from kafka_facade_graphql.limits import limits
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.placeholders import placeholders
from kafka_facade_graphql.produce_mutations import ProduceMutations
from kafka_facade_graphql.query import Query
from kafka_facade_graphql.scalars import SCALARS
from kafka_facade_graphql.subscription import Subscription
from kafka_facade_graphql.topic_mutations import TopicMutations

_CACHED_DOCUMENTS = 256


@strawberry.type(description="What can be written.")
class Mutation(TopicMutations, ProduceMutations, ConsumerMutations, AclMutations):
    """The mutation root."""


class _FreshContext(SchemaExtension):
    """Gives each GraphQL operation loaders of its own: over a websocket many share what the connection brought."""

    def on_operation(self) -> Iterator[None]:
        given = self.execution_context.context
        self.execution_context.context = Context(given.facade, given.max_objects)
        yield None


class _OneOperation(SchemaExtension):
    """Refuses a document with several operations and no word on which to run (GraphQL, "Executing Requests")."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        definitions = context.graphql_document.definitions if context.graphql_document is not None else ()
        operations = [entry for entry in definitions if isinstance(entry, OperationDefinitionNode)]
        # The public name falls back to the first operation's.
        if len(operations) > 1 and context._provided_operation_name is None:
            context.pre_execution_errors = [GraphQLError("The document has several operations: name one.")]
        yield None


class Schema(strawberry.Schema):
    """The schema; it logs nothing itself, since the translation of errors does."""

    @cached_property
    def _placeholders(self) -> dict[str, list[StrawberryField]]:
        roots = {"query": Query, "mutation": Mutation, "subscription": Subscription}
        return placeholders(roots, OPERATIONS + EXTENSIONS)

    def get_fields(self, type_definition: StrawberryObjectDefinition) -> list[StrawberryField]:
        """The fields of a type, with its placeholders."""
        return [*type_definition.fields, *self._placeholders.get(type_definition.name, ())]

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: see :func:`kafka_facade_graphql.errors.translate`."""


def create_schema(options: GraphQLOptions) -> Schema:
    """The schema with the limits of the options."""
    document_limits = limits(options.max_depth, options.max_aliases)
    extensions: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [
        TranslateErrors,
        # Validation costs more than all the rest of a short operation; clients send the same documents again and again.
        lambda: ParserCache(maxsize=_CACHED_DOCUMENTS),
        lambda: ValidationCache(maxsize=_CACHED_DOCUMENTS),
        _FreshContext,
        _OneOperation,
        lambda: MaxTokensLimiter(max_token_count=options.max_tokens),
        lambda: AddValidationRules([document_limits]),
    ]
    if not options.introspection:
        extensions.append(DisableIntrospection)
    config = StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not options.introspection)
    return Schema(query=Query, mutation=Mutation, subscription=Subscription, extensions=extensions, config=config)


def sdl() -> str:
    """The schema in the GraphQL schema definition language."""
    return create_schema(GraphQLOptions()).as_str() + "\n"


__all__ = ["Mutation", "Schema", "create_schema", "sdl"]
