"""Parsing, validation and measurement of documents, with a cache of limited size."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from typing import Any, Final

from cachetools import LRUCache
from graphql import (
    BREAK,
    ArgumentNode,
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    ValueNode,
    VariableDefinitionNode,
    Visitor,
    VisitorAction,
    parse,
    validate,
    visit,
)
from graphql.execution.values import VariableValues, get_variable_values
from graphql.validation import NoFragmentCyclesRule, NoSchemaIntrospectionCustomRule, specified_rules
from graphql.validation.validate import ValidationAbortedError
from msgspec import Struct
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from kafka_facade.core.core import Core
from kafka_facade.core.errors import PayloadTooLarge
from kafka_facade.core.records.decoding_budget import data_weight
from kafka_facade.core.time_slices import time_slice
from kafka_facade_graphql.errors import Code, translate
from kafka_facade_graphql.limits import MAX_COPIED, LimitError, Measure, Size, check_repetition, introspection_cost
from kafka_facade_graphql.options import GraphQLOptions

_CACHE_BYTES: Final = 16 * 1024 * 1024
# Measured memory per token of a parsed document, and the minimum per document.
_BYTES_A_TOKEN: Final = 700
_BYTES_A_DOCUMENT: Final = 4_000
_MAX_VALIDATION_ERRORS: Final = 10
_MAX_VARIABLE_ERRORS: Final = 50
# Longer documents are read, and variables of a greater weight checked, in a thread: this much takes about 5 ms.
_DOCUMENT_ON_LOOP: Final = 400
_VARIABLES_ON_LOOP: Final = 20_000


class Document(Struct):
    """A parsed document. ``errors`` are its validation errors, and ``costs`` those of its operations by name.

    The cost of an operation with variables depends on them, see :class:`Variables`.
    """

    text: str
    node: DocumentNode
    errors: list[GraphQLError]
    costs: dict[str | None, int]

    @property
    def bytes(self) -> int:
        """Approximate memory usage."""
        return _BYTES_A_DOCUMENT + 2 * len(self.text) + _BYTES_A_TOKEN * self.node.token_count

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """Return the operation with a name, or the only one if no name is given; None if there is none."""
        operations = [entry for entry in self.node.definitions if isinstance(entry, OperationDefinitionNode)]
        if name is None:
            return operations[0] if len(operations) == 1 else None
        return next((entry for entry in operations if _name(entry) == name), None)

    def has_field(self, names: Collection[str]) -> bool:
        """Return whether the document, or one of its fragments, selects a field with one of these names."""
        finder = _FieldFinder(names)
        visit(self.node, finder)
        return finder.found


class _FieldFinder(Visitor):
    """Stops at a field with one of the names."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self._names = names
        self.found = False

    def enter_field(self, node: FieldNode, *_: Any) -> VisitorAction:
        if node.name.value in self._names:
            self.found = True
            return BREAK
        return None


class Variables(Struct):
    """The coerced variables of an operation, its cost with them, and the weight of their data (``data_weight``)."""

    values: VariableValues
    cost: int
    weight: int


def _name(operation: OperationDefinitionNode) -> str | None:
    return None if operation.name is None else operation.name.value


def _translated(error: GraphQLError, document: DocumentNode) -> GraphQLError:
    """Convert an error for callers; ``field`` in its extensions is the path of the invalid value."""
    shown = translate(error, Code.GRAPHQL_VALIDATION_FAILED)
    blamed = error.nodes[0] if error.nodes else None
    # Only errors about input values have a field.
    is_input = (shown.extensions or {}).get("code") == Code.BAD_USER_INPUT
    if is_input and isinstance(blamed, ValueNode) and (field := _path_to(blamed, document)):
        shown.extensions = {**(shown.extensions or {}), "field": field}
    return shown


def _path_to(value: ValueNode, document: DocumentNode) -> str:
    """Return the path of a value in the arguments or variables, such as ``input.records[1].value.data``."""
    keys: list[str | int] = []

    class Finder(Visitor):
        def enter(self, node: Node, _key: Any, _parent: Any, path: list[str | int], *_: Any) -> VisitorAction:
            if node is not value:
                return None
            keys.extend(path)
            return BREAK

    visit(document, Finder())
    found = ""
    node: Any = document
    for before, key in zip([None, *keys], keys, strict=False):
        node = node[key] if isinstance(key, int) else getattr(node, key)
        if isinstance(node, ArgumentNode):
            found = node.name.value
        elif isinstance(node, VariableDefinitionNode):
            found = node.variable.name.value
        elif isinstance(node, ObjectFieldNode):
            found += f".{node.name.value}"
        elif before == "values":
            found += f"[{key}]"
    return found


class Documents:
    """The documents of one schema, with an LRU cache of about ``cache_bytes``."""

    def __init__(self, schema: GraphQLSchema, options: GraphQLOptions, cache_bytes: int = _CACHE_BYTES) -> None:
        self._schema = schema
        self._options = options
        self._rules: tuple[type[ASTValidationRule], ...] = (
            *specified_rules,
            MaybeNullValidationRule,
            OneOfInputValidationRule,
        )
        if not options.introspection:
            self._rules += (NoSchemaIntrospectionCustomRule,)
        self._max_introspection = introspection_cost(schema)
        self._cache: LRUCache[str, Document] = LRUCache(cache_bytes, getsizeof=lambda document: document.bytes)

    async def load(self, text: str, core: Core) -> Document:
        """Return the document for a text; read a long one in a thread. Raises as :meth:`get`, and Unavailable."""
        self._check_length(text)
        if text not in self._cache:
            await time_slice()
            if len(text) > _DOCUMENT_ON_LOOP:
                found = await core.in_thread(partial(self._try_to_read, text), known=partial(self._cache.get, text))
                if isinstance(found, Exception):
                    raise found
                return self._keep(found)
        return self.get(text)

    def get(self, text: str) -> Document:
        """Return the document for a text. Raises GraphQLSyntaxError, PayloadTooLarge, RecursionError."""
        self._check_length(text)
        document = self._cache.get(text)
        return self._keep(self._read(text)) if document is None else document

    def _check_length(self, text: str) -> None:
        limit = self._options.max_document_bytes
        # A character has at least one byte, so this avoids encoding a text that is far too long.
        if len(text) > limit or len(text.encode(errors="replace")) > limit:
            raise PayloadTooLarge(f"The document is longer than {limit} bytes.")

    def _keep(self, document: Document) -> Document:
        if document.bytes <= self._cache.maxsize:
            self._cache[document.text] = document
        return document

    def _try_to_read(self, text: str) -> Document | GraphQLError | RecursionError:
        try:
            return self._read(text)
        except (GraphQLError, RecursionError) as error:
            return error.with_traceback(None)

    def _read(self, text: str) -> Document:
        node = parse(text, max_tokens=self._options.max_tokens)
        costs: dict[str | None, int] = {}
        try:
            costs = self._check(node)
            errors = validate(self._schema, node, self._rules, max_errors=_MAX_VALIDATION_ERRORS)
        except LimitError as error:
            # If fragments form a cycle, report that as the reason instead.
            found = validate(self._schema, node, [NoFragmentCyclesRule], max_errors=1)
            errors = [cycle for cycle in found if not isinstance(cycle, ValidationAbortedError)] or [error]
        return Document(text, node, [_translated(error, node) for error in errors], costs)

    def _check(self, node: DocumentNode) -> dict[str | None, int]:
        """Check the limits that do not depend on variables, and return the costs. Raises LimitError."""
        measure = Measure(self._schema, node, {})
        costs: dict[str | None, int] = {}
        for entry in node.definitions:
            if isinstance(entry, OperationDefinitionNode):
                size = measure.operation(entry)
                self._check_size(size, entry)
                costs[_name(entry)] = size.cost + size.introspection
                if not entry.variable_definitions:
                    self._check_cost(size, entry)
        check_repetition(node)
        return costs

    async def check_variables(
        self, document: Document, operation: OperationDefinitionNode, variables: dict[str, Any], core: Core
    ) -> Variables | list[GraphQLError]:
        """Return the coerced variables of an operation, or what is wrong with them; check large ones in a thread.

        A LimitError if the operation is too expensive with these variables. Raises Unavailable.
        """
        check = partial(self.variable_values, document, operation, variables)
        if data_weight(variables, _VARIABLES_ON_LOOP) > _VARIABLES_ON_LOOP:
            return await core.in_thread(check)
        await time_slice()
        return check()

    def variable_values(
        self, document: Document, operation: OperationDefinitionNode, variables: dict[str, Any]
    ) -> Variables | list[GraphQLError]:
        """Do what :meth:`check_variables` does, at once."""
        try:
            measure = Measure(self._schema, document.node, variables, self._options.max_cost)
            size = measure.operation(operation)
            self._check_cost(size, operation)
            if size.copied > MAX_COPIED:
                raise LimitError("A field repeats variables with too much data: pass each of them once.", operation)
        except LimitError as error:
            return [error.with_traceback(None)]
        found = get_variable_values(
            self._schema, operation.variable_definitions or (), variables, max_errors=_MAX_VARIABLE_ERRORS
        )
        if isinstance(found, list):
            return found
        return Variables(found, size.cost + size.introspection, data_weight(variables, sys.maxsize))

    def _check_size(self, size: Size, operation: OperationDefinitionNode) -> None:
        options = self._options
        if size.depth > options.max_depth:
            raise LimitError(
                f"The operation is nested deeper than {options.max_depth}.", operation, maxDepth=options.max_depth
            )
        if size.aliases > options.max_aliases:
            raise LimitError(
                f"The operation has more than {options.max_aliases} aliases.", operation, maxAliases=options.max_aliases
            )
        if size.repeats_large:
            raise LimitError(
                "The operation shows a key, value or header of a record more than once in the same form: ask for each "
                "form (such as text, json or base64) under one name.",
                operation,
            )
        if size.introspection > self._max_introspection:
            raise LimitError(
                "The operation asks for more of the schema than the standard introspection query.",
                operation,
                cost=size.introspection,
                maxCost=self._max_introspection,
            )

    def _check_cost(self, size: Size, operation: OperationDefinitionNode) -> None:
        limit = self._options.max_cost
        if size.cost > limit:
            raise LimitError(
                f"The operation costs {size.cost}, more than {limit}: ask for fewer fields or entries, or for shorter "
                "pages.",
                operation,
                cost=size.cost,
                maxCost=limit,
            )
