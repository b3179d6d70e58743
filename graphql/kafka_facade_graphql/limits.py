"""Limits on what a document may ask for, checked in time linear in its length: fragments are measured once each."""

from __future__ import annotations

from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)


@dataclass(slots=True)
class Size:
    """How deep fields are nested, and how many aliases there are, with fragments filled in."""

    depth: int = 0
    aliases: int = 0


class Measure:
    """Measures the operations of one document."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            entry.name.value: entry for entry in document.definitions if isinstance(entry, FragmentDefinitionNode)
        }
        self._measured: dict[str, Size] = {}

    def selections(self, selections: SelectionSetNode | None) -> Size:
        """The size of what is asked for; introspection counts as flat."""
        size = Size()
        for selection in selections.selections if selections is not None else ():
            inner = self._selection(selection)
            size.depth = max(size.depth, inner.depth)
            size.aliases += inner.aliases
        return size

    def _selection(self, selection: SelectionNode) -> Size:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value)
        if isinstance(selection, InlineFragmentNode):
            return self.selections(selection.selection_set)
        if not isinstance(selection, FieldNode):
            return Size()
        size = self.selections(selection.selection_set)
        size.aliases += selection.alias is not None
        if selection.name.value.startswith("__"):
            size.depth = 0
        elif selection.selection_set is not None:
            size.depth += 1
        return size

    def _fragment(self, name: str) -> Size:
        if name not in self._measured:
            # What a fragment finds of itself, in a cycle, is nothing; another rule refuses cycles.
            self._measured[name] = Size()
            if name in self._fragments:
                self._measured[name] = self.selections(self._fragments[name].selection_set)
        return self._measured[name]


def limits(max_depth: int, max_aliases: int) -> type[ValidationRule]:
    """A validation rule that holds each operation to a depth of nested fields and a number of aliases."""

    class Limits(ValidationRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            measure = Measure(context.document)
            for entry in context.document.definitions:
                if not isinstance(entry, OperationDefinitionNode):
                    continue
                size = measure.selections(entry.selection_set)
                if size.depth > max_depth:
                    self.report_error(GraphQLError(f"The operation is nested deeper than {max_depth}.", entry))
                if size.aliases > max_aliases:
                    self.report_error(GraphQLError(f"The operation has more than {max_aliases} aliases.", entry))

    return Limits
