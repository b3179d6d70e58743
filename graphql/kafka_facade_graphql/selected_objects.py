"""How many objects of a response the selected fields of a record are, so that as many records are read as fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
)

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.instances.model import ObjectLimit
from kafka_facade.core.records.model import Record

_FETCH: Final = "Mutation.fetchConsumerRecords"
# Lists of records, of which a read can have fewer, and the list in a record.
_RECORDS: Final = frozenset(("FetchConsumerRecordsPayload.records", "Subscription.records"))
_HEADERS: Final = "Record.headers"


@dataclass(slots=True)
class _Objects:
    """The objects below selections: in records, in each of their headers, and others, without those in ``lists``."""

    a_record: int = 0
    a_header: int = 0
    others: int = 0
    lists: bool = False
    fetches: int = 0


@dataclass(slots=True)
class _Found:
    parent: GraphQLNamedType
    name: str
    below: list[SelectionSetNode] = field(default_factory=list)


class SelectedObjects:
    """Counts the objects that an operation selects. Fields that directives skip count too."""

    def __init__(self, info: GraphQLResolveInfo[Any]) -> None:
        self._schema: GraphQLSchema = info.schema
        self._fragments: Mapping[str, FragmentDefinitionNode] = info.fragments
        self._all = self._below(info.schema.get_root_type(info.operation.operation), [info.operation.selection_set])
        self._fields: dict[str, _Objects] = {}
        self._fetches = self._all.fetches

    def next_fetch(self, info: GraphQLResolveInfo[Any], left: int) -> ObjectLimit:
        """Return the limit of the next fetch, which has an equal share of the ``left`` objects."""
        kept = self._all.others if not self._all.lists else max(self._all.others, left // 2)
        share = (left - kept) // max(self._fetches, 1)
        self._fetches -= 1
        return self._limit(info, share)

    def event(self, info: GraphQLResolveInfo[Any], most: int) -> ObjectLimit:
        """Return the limit of each event of a subscription."""
        return self._limit(info, most)

    def alone(self, most: int) -> int:
        """Return how many of ``most`` objects a record can be that is alone in the response."""
        return most - self._all.others

    def _limit(self, info: GraphQLResolveInfo[Any], most: int) -> ObjectLimit:
        key = str(info.path.key)
        found = self._fields.get(key)
        if found is None:
            node = _Found(info.parent_type, info.field_name)
            node.below = [entry.selection_set for entry in info.field_nodes if entry.selection_set is not None]
            found = self._fields[key] = _Objects()
            self._add(found, node)
        return ObjectLimit(most, found.a_record, found.a_header)

    def _below(self, parent: GraphQLNamedType | None, selections: Iterable[SelectionSetNode]) -> _Objects:
        total = _Objects()
        found: dict[str, _Found] = {}
        # Fields with the same key are merged.
        for owner, node in self._nodes(parent, selections):
            key = node.name.value if node.alias is None else node.alias.value
            same = found.setdefault(key, _Found(owner, node.name.value))
            if node.selection_set is not None:
                same.below.append(node.selection_set)
        for entry in found.values():
            self._add(total, entry)
        return total

    def _add(self, total: _Objects, found: _Found) -> None:
        """Add what one field selects."""
        if not found.below or not isinstance(found.parent, GraphQLObjectType | GraphQLInterfaceType):
            return
        definition = self._schema.get_field(found.parent, found.name)
        if definition is None:
            return
        kind = get_named_type(definition.type)
        path = f"{found.parent.name}.{found.name}"
        inner = self._below(kind, found.below)
        # Those of resources count, see ``resource``.
        own = 1 if getattr(kind, "is_type_of", None) is not None else 0
        total.a_header += inner.a_header
        total.fetches += inner.fetches + (path == _FETCH)
        if path in _RECORDS:
            total.a_record += own + inner.a_record + inner.others
            return
        total.a_record += inner.a_record
        if path == _HEADERS:
            total.a_header += own + inner.others
            return
        total.lists |= inner.lists or isinstance(get_nullable_type(definition.type), GraphQLList)
        total.others += own + inner.others

    def _nodes(
        self, parent: GraphQLNamedType | None, selections: Iterable[SelectionSetNode]
    ) -> Iterator[tuple[GraphQLNamedType, FieldNode]]:
        """Yield the fields of selections, with those in fragments, and the types that have them."""
        seen: set[str] = set()
        waiting = [(parent, entry) for entry in selections]
        while waiting:
            owner, some = waiting.pop()
            for node in some.selections:
                if isinstance(node, FieldNode) and owner is not None:
                    yield owner, node
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    of = owner if condition is None else self._schema.get_type(condition.name.value)
                    waiting.append((of, node.selection_set))
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                    seen.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                    waiting.append((self._schema.get_type(fragment.type_condition.name.value), fragment.selection_set))


def too_many_objects(most: int, record: Record | None = None) -> InvalidRequest:
    """Return the error of a response with too many objects, or of one record that has too many."""
    if record is None:
        return InvalidRequest(f"The response would have more than {most} objects: request fewer at a time.")
    return InvalidRequest(
        f"The record at offset {record.offset} of {record.topic_name}-{record.partition_id} would have more than "
        f"{most} objects: select fewer of its fields, such as no headers.",
        topic_name=record.topic_name,
        partition_id=str(record.partition_id),
        offset=str(record.offset),
    )
