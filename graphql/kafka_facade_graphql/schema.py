"""The schema, with placeholders for unimplemented operations of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import strawberry
from graphql import GraphQLError, OperationDefinitionNode
from graphql import OperationType as OperationTypeNode
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.execution import ExecutionContext, PreExecutionError
from strawberry.types.field import StrawberryField
from strawberry.types.graphql import OperationType

from kafka_facade.core.catalogue import CATALOGUE, INSTANCE_READS, Catalogue
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, PayloadTooLarge
from kafka_facade.core.quoting import quote
from kafka_facade.core.reservation import use_reservation
from kafka_facade.core.time_slices import time_slice
from kafka_facade_graphql import (
    acls,
    broker_mutations,
    config_mutations,
    consumer_instance_mutations,
    exclusion_mutations,
    topic_mutations,
)
from kafka_facade_graphql.context import Context
from kafka_facade_graphql.conversion import compile_inputs
from kafka_facade_graphql.documents import Document, Documents
from kafka_facade_graphql.errors import Code, TranslateErrors, refusal
from kafka_facade_graphql.execution import CoercedVariables, SlicedExecutor
from kafka_facade_graphql.handing_over import current
from kafka_facade_graphql.mutations import Mutation, mutation_fields
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.placeholders import placeholders
from kafka_facade_graphql.query import Query
from kafka_facade_graphql.record_mutations import ProduceMutations
from kafka_facade_graphql.scalars import SCALARS
from kafka_facade_graphql.subscriptions import Subscription

# Memory for each unit of an operation's cost. Long lists take more once their length is known.
_BYTES_A_FIELD: Final = 1024
# Memory for the data of variables, in relation to its weight: it is decoded, converted and encoded.
_COPIES: Final = 4
# Maximum weight of the variables of operations that may last as long as a caller wants (see ``data_weight``).
_LASTING_WEIGHT: Final = 256 * 1024
# The mutations that may last so long.
_LASTING: Final = frozenset(CATALOGUE[name].graphql_field for name in INSTANCE_READS)


@dataclass(frozen=True, slots=True)
class Graph:
    """The parts of the schema.

    ``mutations`` are derived ones, and Strawberry types with their own fields. ``links`` are fields to add to types, by
    type name.
    """

    mutations: Sequence[Mutation | type[Any]]
    links: Mapping[str, Sequence[StrawberryField]] = field(default_factory=dict)


GRAPH: Final = Graph(
    (
        *topic_mutations.MUTATIONS,
        *config_mutations.TOPIC_MUTATIONS,
        ProduceMutations,
        *consumer_instance_mutations.MUTATIONS,
        *acls.MUTATIONS,
        *config_mutations.MUTATIONS,
        *broker_mutations.MUTATIONS,
        *exclusion_mutations.MUTATIONS,
    )
)
"""The graph of the shipped gateway."""


def roots(graph: Graph, catalogue: Catalogue) -> dict[str, type[Any]]:
    """Return the query, mutation and subscription types."""
    mutation = create_type("Mutation", mutation_fields(graph.mutations, catalogue), description="Mutations.")
    return {"query": Query, "mutation": mutation, "subscription": Subscription}


class _FreshContext(SchemaExtension):
    """Gives each GraphQL operation its own context, because operations of a websocket connection share one."""

    def on_operation(self) -> Iterator[None]:
        given = self.execution_context.context
        own = self.execution_context.context = Context(given.core, given.max_objects, given.memory.another())
        use_reservation(own.memory.request)
        try:
            yield None
        finally:
            own.memory.request.release()

    def on_execute(self) -> Iterator[None]:
        try:
            yield None
        finally:
            # The result may be sent much later.
            self.execution_context.context.memory.request.release()


class Schema(strawberry.Schema):
    """The schema with limits on documents. It logs no errors, because their translation does."""

    def __init__(
        self,
        *,
        options: GraphQLOptions,
        links: Mapping[str, Sequence[StrawberryField]],
        missing: Mapping[str, Sequence[StrawberryField]],
        **arguments: Any,
    ) -> None:
        self._links = links
        self._missing = missing
        super().__init__(**arguments)
        compile_inputs(found.definition for found in self.schema_converter.type_map.values())
        self.documents = Documents(self._schema, options)

    def get_fields(self, type_definition: StrawberryObjectDefinition) -> list[StrawberryField]:
        """The fields of a type, with its added links and its placeholders."""
        name = type_definition.name
        return [*type_definition.fields, *self._links.get(name, ()), *self._missing.get(name, ())]

    async def operation_type(self, query: str | None, name: str | None, core: Core) -> OperationType | None:
        """Return the type of the requested operation; None if it is unknown."""
        try:
            operation = (await self.documents.load(query or "", core)).operation(name)
        except (GraphQLError, FacadeError, RecursionError):
            return None
        return None if operation is None else OperationType(operation.operation.value)

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        """Get the document from the cache and check its limits; Strawberry checks the type of the operation."""
        try:
            document = await self._document(context)
            operation = self._operation(document, context._provided_operation_name)
            context.pre_execution_errors = document.errors or await self._check(document, operation, context)
        except FacadeError as error:
            context.pre_execution_errors = [GraphQLError(str(error), original_error=error)]
            return PreExecutionError(data=None, errors=context.pre_execution_errors)
        except GraphQLError as error:
            context.pre_execution_errors = [error]
            return PreExecutionError(data=None, errors=[error])
        context.graphql_document = document.node
        await time_slice()
        return await super()._prepare_operation_async(context, extensions_runner)

    async def _document(self, context: ExecutionContext) -> Document:
        """Return the document. Raises MissingQueryError, or a GraphQLError for an invalid request or document."""
        query, name = context.query, context._provided_operation_name
        if query is None or query == "":
            raise MissingQueryError
        # Types of websocket messages have not been checked yet.
        if not isinstance(query, str):
            raise refusal("The query must be a string.", Code.BAD_REQUEST)
        if not isinstance(name, str | None):
            raise refusal("The operationName must be a string or null.", Code.BAD_REQUEST)
        if not isinstance(context.variables, dict | None):
            raise refusal("The variables must be an object or null.", Code.BAD_REQUEST)
        try:
            return await self.documents.load(query, context.context.core)
        except GraphQLError:
            raise
        except (FacadeError, RecursionError) as error:
            raise GraphQLError(str(error), original_error=error) from error

    def _operation(self, document: Document, name: str | None) -> OperationDefinitionNode:
        """Return the operation to run (GraphQL, "Executing Requests"). Raises GraphQLError if it is not determined."""
        operation = document.operation(name)
        if operation is None:
            reason = (
                "has several operations, or none: name one"
                if name is None
                else f"has no operation named '{quote(name)}'"
            )
            raise refusal(f"The document {reason}.", Code.OPERATION_RESOLUTION_FAILURE)
        return operation

    async def _check(
        self, document: Document, operation: OperationDefinitionNode, context: ExecutionContext
    ) -> list[GraphQLError]:
        """Coerce the variables, and wait for memory. Return what is wrong with the variables.

        Raises Unavailable, and TooManyRequests if there is no memory.
        """
        current().kind = operation.operation
        given = dict(context.variables or {})
        # Callers of streams keep it, with what they have not declared.
        (context.variables or {}).clear()
        weight, cost = 0, document.costs[None if operation.name is None else operation.name.value]
        if operation.variable_definitions:
            found = await self.documents.check_variables(document, operation, given, context.context.core)
            if isinstance(found, list):
                return found
            context.variables = CoercedVariables(found.values)
            weight, cost = found.weight, found.cost
        if operation.operation is OperationTypeNode.SUBSCRIPTION:
            # It keeps them for as long as it lasts.
            if weight > _LASTING_WEIGHT:
                raise PayloadTooLarge("The variables of a subscription have too much data.")
        else:
            if weight > _LASTING_WEIGHT and document.has_field(_LASTING):
                raise PayloadTooLarge("The variables of an operation that fetches records have too much data.")
            await context.context.memory.request.resize(_BYTES_A_FIELD * cost + _COPIES * weight)
        return []

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Do nothing; :func:`kafka_facade_graphql.errors.translate` logs errors."""


def create_schema(options: GraphQLOptions, catalogue: Catalogue = CATALOGUE, graph: Graph = GRAPH) -> Schema:
    """The schema with the limits of the options."""
    extensions: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [TranslateErrors, _FreshContext]
    config = StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not options.introspection)
    types = roots(graph, catalogue)
    return Schema(
        options=options,
        links=graph.links,
        missing=placeholders(types, catalogue.all, graph.links),
        **types,
        extensions=extensions,
        execution_context_class=SlicedExecutor,
        config=config,
    )


def sdl() -> str:
    """The schema in the GraphQL schema definition language."""
    return create_schema(GraphQLOptions()).as_str() + "\n"
