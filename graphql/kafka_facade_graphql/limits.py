"""Limits of operations, checked before they run: depth, aliases, repeated fields, copies of record data, and cost.

The cost is roughly the number of fields in the response. Each field counts once per object, and a list counts as its
page size, or as its usual size. Entries of lists and input objects in arguments count too, and each input object as
ten more; those in a variable count each time that a field takes it. Measuring takes linear time in the size of the
document, because each fragment is measured once.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    parse,
    type_from_ast,
)

from kafka_facade.core.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from kafka_facade.core.records.decoding_budget import data_weight

# The cost of an input object: checking and converting it takes about ten times as long as a field of the response.
_OBJECT_COST: Final = 10
# Assumed length of lists without pagination.
_USUAL_SIZE: Final = 3
_USUAL_SIZES: Final = {
    "Query.clusters": 1,
    "__Schema.types": 150,
    "__Field.args": 2,
    "__Directive.args": 2,
    "__Type.interfaces": 1,
    "__Type.possibleTypes": 3,
}
# Fields whose values are as large as (a part of) a record.
_LARGE_FIELDS: Final = frozenset(
    (
        "Content.base64",
        "Content.text",
        "Content.json",
        "Decoded.data",
        "DataInfo.error",
        "DataInfo.subject",
        "FetchedRecord.key",
        "FetchedRecord.value",
        "Header.name",
    )
)
# Maximum number of large fields in an operation; selecting all forms of a fetch needs about twenty.
_MAX_LARGE: Final = 600
# Maximum number of pairs of fields or fragments at the same place, which validation compares with each other.
_MAX_PAIRS: Final = 5_000
# Maximum number of fields of a document with fragments expanded, counted once per place in the response.
_MAX_FIELDS: Final = 10_000
MAX_COPIED: Final = 1_000_000
"""Maximum weight of what a field repeats of variables, see ``data_weight``: their data is copied when it is encoded."""
# Allowed cost of introspection, relative to the standard introspection query.
_INTROSPECTION_MARGIN: Final = 2


class LimitError(GraphQLError):
    """A document exceeds a limit; ``limited`` has the numbers as metadata."""

    def __init__(self, message: str, node: Node | None = None, **limited: int) -> None:
        super().__init__(message, node)
        self.limited = limited


@dataclass(slots=True)
class Size:
    """The size of selections with fragments expanded.

    ``paged`` is the cost of one entry of a page whose size the enclosing field determines; ``introspection`` is the
    cost of introspection fields. ``copied`` is the weight of what a field repeats of variables. ``large`` has the large
    fields, each with the names and the response keys on its path.
    """

    depth: int = 0
    aliases: int = 0
    cost: int = 0
    paged: int = 0
    introspection: int = 0
    copied: int = 0
    large: set[tuple[str, tuple[Any, ...]]] = field(default_factory=set)

    def add(self, other: Size) -> None:
        """Add the size of sibling selections."""
        self.depth = max(self.depth, other.depth)
        self.aliases += other.aliases
        self.cost += other.cost
        self.paged += other.paged
        self.introspection += other.introspection
        self.copied = max(self.copied, other.copied)
        if len(self.large) <= _MAX_LARGE:
            self.large |= other.large

    @property
    def repeats_large(self) -> bool:
        """Whether a key, value or header of a record is selected in the same form more than once.

        Root fields are checked separately, because they return different records.
        """
        counts = Counter((keys[0], names) for names, keys in self.large)
        return len(self.large) > _MAX_LARGE or any(count > 1 for count in counts.values())


class Measure:
    """Measures the operations of one document, which may be invalid. ``variables`` are the caller's raw values."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: Mapping[str, Any],
        most_cost: int = sys.maxsize,
    ) -> None:
        """Stop measuring a variable's value when it exceeds ``most_cost``."""
        self._most_cost = most_cost
        self._schema = schema
        self._variables = variables
        self._defaults: dict[str, ValueNode] = {}
        self._fragments = {
            entry.name.value: entry for entry in document.definitions if isinstance(entry, FragmentDefinitionNode)
        }
        self._measured: dict[str, Size] = {}
        self._costs: dict[str, int] = {}

    def operation(self, operation: OperationDefinitionNode) -> Size:
        """Return the size of an operation, including its variables."""
        self._measured = {}
        self._defaults = {
            entry.variable.name.value: entry.default_value
            for entry in operation.variable_definitions or ()
            if entry.default_value is not None
        }
        self._costs = {
            name: _input_cost(type_from_ast(self._schema, entry.type), self._variables[name], self._most_cost)
            for entry in operation.variable_definitions or ()
            if self._variables.get(name := entry.variable.name.value) is not None
        }
        size = self._selections(operation.selection_set, self._root(operation.operation))
        size.cost += size.paged * _USUAL_SIZE
        return size

    def _root(self, kind: OperationType) -> GraphQLNamedType | None:
        return self._schema.get_root_type(kind)

    def _selections(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Size:
        size = Size()
        for selection in selections.selections if selections is not None else ():
            size.add(self._selection(selection, parent))
        return size

    def _selection(self, selection: SelectionNode, parent: GraphQLNamedType | None) -> Size:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value)
        if isinstance(selection, InlineFragmentNode):
            condition = selection.type_condition
            return self._selections(
                selection.selection_set,
                parent if condition is None else self._schema.get_type(condition.name.value),
            )
        return self._field(selection, parent) if isinstance(selection, FieldNode) else Size()

    def _fragment(self, name: str) -> Size:
        if name not in self._measured:
            # In a cycle, a fragment has size zero within itself; another rule rejects cycles.
            self._measured[name] = Size()
            fragment = self._fragments.get(name)
            if fragment is not None:
                of = self._schema.get_type(fragment.type_condition.name.value)
                self._measured[name] = self._selections(fragment.selection_set, of)
        return self._measured[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Size:
        name = node.name.value
        found = None
        if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            found = self._schema.get_field(parent, name)
        nullable = None if found is None else get_nullable_type(found.type)
        named = None if found is None else get_named_type(found.type)
        size = self._selections(node.selection_set, named)
        size.aliases += node.alias is not None
        key = name if node.alias is None else node.alias.value
        # Nested tuples, so that long aliases are not copied for each field.
        size.large = {(f"{name}.{names}", (key, keys)) for names, keys in size.large}
        if f"{parent}.{name}" in _LARGE_FIELDS:
            size.large.add((name, (key,)))
        given, copied = self._arguments(node)
        size.copied = max(size.copied, copied)
        if name in ("__schema", "__type"):
            return Size(aliases=size.aliases, introspection=1 + size.cost + size.paged * _USUAL_SIZE)
        if node.selection_set is not None:
            size.depth += 1
        if size.paged:
            size.cost += size.paged * self._page(node)
            size.paged = 0
        if isinstance(nullable, GraphQLList):
            if parent is not None and _has_pages(parent):
                size.cost, size.paged = 1 + given, size.cost + 1
                return size
            size.cost *= _USUAL_SIZES.get(f"{parent}.{name}", _USUAL_SIZE)
        size.cost += 1 + given
        return size

    def _arguments(self, node: FieldNode) -> tuple[int, int]:
        """Return the cost of a field's arguments, and the weight of what they repeat of variables."""
        cost = 0
        uses: Counter[str] = Counter()
        waiting = [argument.value for argument in node.arguments or ()]
        while waiting:
            value = waiting.pop()
            if isinstance(value, VariableNode):
                uses[value.name.value] += 1
            elif isinstance(value, ListValueNode):
                cost += len(value.values)
                waiting += value.values
            elif isinstance(value, ObjectValueNode):
                cost += _OBJECT_COST + len(value.fields)
                waiting += [field.value for field in value.fields]
        copied = 0
        for name, count in uses.items():
            cost += count * self._costs.get(name, 0)
            if count > 1 and copied <= MAX_COPIED:
                copied += (count - 1) * self._weight(name)
        return cost, copied

    def _weight(self, name: str) -> int:
        """Return the weight of a variable's value."""
        if name in self._variables:
            return data_weight(self._variables[name], MAX_COPIED)
        default = self._defaults.get(name)
        return 0 if default is None or default.loc is None else default.loc.end - default.loc.start

    def _page(self, node: FieldNode) -> int:
        """Return the length of the lists directly below a connection or a mutation payload."""
        for argument in node.arguments or ():
            value = self._value(argument.value)
            if argument.name.value == "first" and isinstance(value, int):
                return max(1, min(value, MAX_PAGE_SIZE))
            if argument.name.value == "input":
                return max(_USUAL_SIZE, _longest_list(value))
        return DEFAULT_PAGE_SIZE

    def _value(self, node: ValueNode | None) -> Any:
        """Return the value of an argument, from a literal or a variable."""
        if isinstance(node, VariableNode):
            name = node.name.value
            return self._variables[name] if name in self._variables else self._value(self._defaults.get(name))
        if isinstance(node, IntValueNode):
            return int(node.value) if len(node.value) < 10 else MAX_PAGE_SIZE
        if isinstance(node, ObjectValueNode):
            return {field.name.value: self._value(field.value) for field in node.fields}
        if isinstance(node, ListValueNode):
            return list(node.values)
        return None


def _has_pages(of: GraphQLNamedType) -> bool:
    """Return whether the parent field determines the length of the lists in this type."""
    return of.name.endswith(("Connection", "Payload"))


def _longest_list(value: Any) -> int:
    entries = value.values() if isinstance(value, dict) else ()
    return max((len(entry) for entry in entries if isinstance(entry, list)), default=0)


def _input_cost(of: Any, value: Any, most: int) -> int:
    """Return the cost of a value: its entries of lists and input objects, and more for each input object.

    What is within scalars is free. Stops above ``most``.
    """
    cost = 0
    waiting = [(of, value)]
    while waiting and cost <= most:
        kind, found = waiting.pop()
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        if isinstance(kind, GraphQLList):
            entries = found if isinstance(found, list) else [found]
            cost += len(entries)
            if cost <= most:
                waiting += [(kind.of_type, entry) for entry in entries]
        elif isinstance(kind, GraphQLInputObjectType) and isinstance(found, dict):
            cost += _OBJECT_COST + len(found)
            waiting += [(kind.fields[name].type, entry) for name, entry in found.items() if name in kind.fields]
    return cost


def introspection_cost(schema: GraphQLSchema) -> int:
    """Return the maximum introspection cost of an operation."""
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    document = parse(query)
    [operation] = [entry for entry in document.definitions if isinstance(entry, OperationDefinitionNode)]
    return _INTROSPECTION_MARGIN * Measure(schema, document, {}).operation(operation).introspection


def check_repetition(document: DocumentNode) -> None:
    """Raise LimitError if fields or fragments are repeated so often that validation would be slow.

    Validation compares all pairs of fields, and all pairs of fragments, at the same place in the response.
    """
    fragments = {entry.name.value: entry for entry in document.definitions if isinstance(entry, FragmentDefinitionNode)}
    pairs = fields = 0
    waiting: list[list[SelectionSetNode]] = [
        [entry.selection_set]
        for entry in document.definitions
        if isinstance(entry, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while waiting:
        spread, below = _same_place(waiting.pop(), fragments)
        pairs += spread * (spread - 1) // 2
        for count, selections in below:
            fields += count
            pairs += count * (count - 1) // 2
            if selections:
                waiting.append(selections)
        if pairs > _MAX_PAIRS or fields > _MAX_FIELDS:
            raise LimitError("The document repeats fields or fragments too often.")


def _same_place(
    selections: list[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> tuple[int, Iterable[tuple[int, list[SelectionSetNode]]]]:
    """Return the number of fragment spreads in these selections, and for each field its count and subselections."""
    counts: defaultdict[str, int] = defaultdict(int)
    below: defaultdict[str, list[SelectionSetNode]] = defaultdict(list)
    seen: set[str] = set()
    spreads = 0
    while selections:
        for selection in selections.pop().selections:
            if isinstance(selection, FieldNode):
                key = selection.name.value if selection.alias is None else selection.alias.value
                counts[key] += 1
                if selection.selection_set is not None:
                    below[key].append(selection.selection_set)
            elif isinstance(selection, InlineFragmentNode):
                selections.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                spreads += 1
                name = selection.name.value
                if name in fragments and name not in seen:
                    seen.add(name)
                    selections.append(fragments[name].selection_set)
    return spreads, [(count, below[key]) for key, count in counts.items()]
