"""How large a JSON schema is once its references are replaced by what they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

_LIMIT: Final = 20_000
# What changes where references lead, or leads where only an evaluation shows.
_UNCLEAR: Final = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")


class _Unbounded(Exception):
    pass


def expanded_size(schema: Any, others: Mapping[str, Any]) -> int | None:
    """The number of objects and arrays in it; None where it is over 20,000, endless, or can't be told."""
    try:
        return max(1, _Walk(others).of_document("", schema))
    except _Unbounded:
        return None


class _Walk:
    def __init__(self, others: Mapping[str, Any]) -> None:
        self._others = others
        # By document and pointer; None while it is being counted: to come to it again is a circle.
        self._known: dict[tuple[str, str], int | None] = {}
        self._documents: dict[str, Any] = dict(others)

    def of_document(self, name: str, schema: Any) -> int:
        self._documents[name] = schema
        return self._of_target(name, "")

    def _of_target(self, document: str, pointer: str) -> int:
        key = (document, pointer)
        if key in self._known:
            known = self._known[key]
            if known is None:
                raise _Unbounded
            return known
        self._known[key] = None
        size = self._of_node(document, self._at(document, pointer), root=not pointer)
        self._known[key] = size
        return size

    def _of_node(self, document: str, node: Any, *, root: bool = False) -> int:
        size = 1
        if isinstance(node, list):
            for item in node:
                size = self._sum(size, document, item)
        elif isinstance(node, dict):
            if any(name in node for name in _UNCLEAR) or (not root and ("$id" in node or "id" in node)):
                raise _Unbounded
            reference = node.get("$ref")
            if isinstance(reference, str):
                size += self._of_reference(document, reference)
            for value in node.values():
                size = self._sum(size, document, value)
        if size > _LIMIT:
            raise _Unbounded
        return size

    def _sum(self, size: int, document: str, node: Any) -> int:
        if size > _LIMIT:
            raise _Unbounded
        return size + self._of_node(document, node) if isinstance(node, dict | list) else size

    def _of_reference(self, document: str, reference: str) -> int:
        name, _, pointer = reference.partition("#")
        if name and name not in self._others:
            # An absolute reference, or one to nowhere: for the validator to say.
            return 1 if not pointer else self._unclear()
        if pointer and not pointer.startswith("/"):
            return self._unclear()
        return self._of_target(name or document, pointer)

    def _unclear(self) -> int:
        raise _Unbounded

    def _at(self, document: str, pointer: str) -> Any:
        node = self._documents[document]
        for part in unquote(pointer).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and part in node:
                node = node[part]
            elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            else:
                # The reference leads nowhere: for the validator to say.
                return None
        return node
