"""Estimates the work of validation: how many keywords of a JSON schema may be checked for one value in the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

_LIMIT: Final = 5_000
# Maximum visits of subschemas: each is visited once for each reference to a schema that contains it.
_MOST_WALKED: Final = 4 * _LIMIT
# Digits of an index that an array may have.
_MOST_DIGITS: Final = 10
# Keywords that change the base URI of references, or whose target depends on the evaluation.
_UNCLEAR: Final = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$id", "id")
# Keywords whose subschemas apply to the same value, and those whose subschemas apply to all its members or items.
_SAME_VALUE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_SAME_VALUE_BY_NAME: Final = ("dependentSchemas", "dependencies")
_ALL_MEMBERS: Final = (
    *("additionalProperties", "unevaluatedProperties", "propertyNames", "additionalItems", "unevaluatedItems"),
    *("contains",),
)
# Cost of these keywords, relative to the others.
_UNIQUE_WEIGHT: Final = 32
_PATTERN_WEIGHT: Final = 8
_MULTIPLE_WEIGHT: Final = 2000
_EASY_MULTIPLE: Final = 1e-6
_FRACTION_WEIGHT: Final = 100
# Internationalized names are mapped and decoded; the others take up to 100 ns for 32 bytes.
_FORMAT_WEIGHTS: Final = {
    **dict.fromkeys(("idn-hostname", "idn-email"), 100),
    **dict.fromkeys(("regex", "iri", "iri-reference", "email", "uri-template"), 8),
    **dict.fromkeys(("hostname", "ipv6", "uri", "uri-reference", "json-pointer", "relative-json-pointer"), 2),
}
# The JSON in a text is decoded.
_CONTENT_WEIGHT: Final = 100
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
# These evaluate the other schemas of the value again, up to three times at each level of nesting.
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")
_UNEVALUATED_WEIGHT: Final = 4
_SEGMENT_START: Final = re.compile(r"[/:]")
_URI: Final = re.compile(r"[!-\[\]-~]+")


class Work(NamedTuple):
    """The approximate maximum number of keywords, and of patterns, that are checked for one value."""

    keywords: int
    patterns: int


class _Work(NamedTuple):
    """The work for the value itself and for each value in it, and the number of schemas including referenced ones."""

    here: int
    within: int
    schemas: int

    @property
    def most(self) -> int:
        """The work for any value."""
        return max(self.here, self.within)


class _Unbounded(Exception):
    pass


def work_per_value(schema: Any, others: Mapping[str, Any]) -> Work | None:
    """Return the work of validating one value; None if it is unbounded or unknown."""
    try:
        return Work(*(_Walk(others, own).of_document("", schema).most for own in (_own, _patterns)))
    except _Unbounded:
        return None


class _Walk:
    def __init__(self, others: Mapping[str, Any], own: Callable[[dict[str, Any]], int]) -> None:
        self._own = own
        # By document and part; None while the part is being counted, to detect circular references.
        self._known: dict[tuple[str, int], _Work | None] = {}
        self._walked = 0
        self._documents: dict[str, Any] = dict(others)
        for document in others.values():
            _scan(document)

    def of_document(self, name: str, schema: Any) -> _Work:
        _scan(schema)
        if self._documents:
            _check_names(schema, self._documents)
        self._documents[name] = schema
        return self._of_target(name, "")

    def _of_target(self, document: str, pointer: str) -> _Work:
        part = self._at(document, pointer)
        # The same part may have several pointers, in different spellings.
        key = (document, id(part))
        if key in self._known:
            known = self._known[key]
            if known is None:
                raise _Unbounded
            return known
        self._known[key] = None
        work = self._of_schema(document, part)
        self._known[key] = work
        return work

    def _of_schema(self, document: str, schema: Any) -> _Work:
        self._walked += 1
        if self._walked > _MOST_WALKED:
            raise _Unbounded
        if not isinstance(schema, dict):
            return _Work(self._own({}), 0, 1)
        same = [self._of_schema(document, part) for part in _same_value(schema)]
        if isinstance(reference := schema.get("$ref"), str):
            same.append(self._of_reference(document, reference))
        # All of these subschemas apply to each member or item.
        all_of = [self._of_schema(document, schema[name]) for name in _ALL_MEMBERS if name in schema]
        all_of += self._of_all(document, schema.get("patternProperties"))
        # One subschema of each of these lists applies to each member or item.
        items = schema.get("items", ())
        one_of = [
            self._of_all(document, items if isinstance(items, list) else [items]),
            self._of_all(document, schema.get("prefixItems")),
            self._of_all(document, schema.get("properties")),
        ]
        again = _UNEVALUATED_WEIGHT if any(name in schema for name in _UNEVALUATED) else 1
        work = _Work(
            self._own(schema) + again * sum(part.here for part in same),
            again * sum(part.within for part in same)
            + sum(part.most for part in all_of)
            + sum(max((part.most for part in parts), default=0) for parts in one_of),
            1 + sum(part.schemas for part in (*same, *all_of, *chain.from_iterable(one_of))),
        )
        # The validator compiles a referenced schema again for each reference.
        if work.schemas > _LIMIT:
            raise _Unbounded
        return work

    def _of_all(self, document: str, schemas: Any) -> list[_Work]:
        if isinstance(schemas, dict):
            schemas = schemas.values()
        elif not isinstance(schemas, list):
            return []
        return [self._of_schema(document, schema) for schema in schemas]

    def _of_reference(self, document: str, reference: str) -> _Work:
        name, _, pointer = reference.partition("#")
        # An unknown name may be another spelling of a known one, or a schema that the validator includes.
        if (name and name not in self._documents) or (pointer and not pointer.startswith("/")):
            raise _Unbounded
        return self._of_target(name or document, pointer)

    def _at(self, document: str, pointer: str) -> Any:
        node = self._documents[document]
        for part in unquote(pointer).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and part in node:
                node = node[part]
            elif isinstance(node, list) and part.isdecimal() and len(part) < _MOST_DIGITS and int(part) < len(node):
                node = node[int(part)]
            else:
                # The validator reports references without a target.
                return None
        return node


def _same_value(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for name in _SAME_VALUE:
        if name in schema:
            part = schema[name]
            found += part if isinstance(part, list) else [part]
    for name in _SAME_VALUE_BY_NAME:
        if isinstance(parts := schema.get(name), dict):
            found += parts.values()
    return found


def _patterns(schema: dict[str, Any]) -> int:
    named = schema.get("patternProperties")
    return ("pattern" in schema) + (len(named) if isinstance(named, dict) else 0)


def _own(schema: dict[str, Any]) -> int:
    """Return the cost of the keywords without subschemas."""
    cost = 1
    for name, value in schema.items():
        cost += 1 + (len(value) if isinstance(value, list | dict) else 0)
        if name in ("enum", "const"):
            cost += _count(value)
        elif name == "pattern":
            cost += _PATTERN_WEIGHT
        elif name == "patternProperties" and isinstance(value, dict):
            cost += _PATTERN_WEIGHT * len(value)
        elif name == "format" and isinstance(value, str):
            cost += _FORMAT_WEIGHTS.get(value, 0)
        elif name == "contentMediaType":
            cost += _CONTENT_WEIGHT
        elif name == "uniqueItems":
            cost += _UNIQUE_WEIGHT
        elif name == "multipleOf" and isinstance(value, float):
            cost += _MULTIPLE_WEIGHT if value < _EASY_MULTIPLE else _FRACTION_WEIGHT
        elif name in _BOUNDS and isinstance(value, float):
            cost += _FRACTION_WEIGHT
        elif name in ("dependencies", "dependentRequired") and isinstance(value, dict):
            cost += sum(len(names) for names in value.values() if isinstance(names, list))
    return cost


def _count(value: Any) -> int:
    count = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return count


def _check_names(schema: Any, others: Mapping[str, Any]) -> None:
    """Raise _Unbounded if a reference may lead to another document than the one with its name.

    The validator resolves references against names and ids. A resolved reference keeps its last segment.
    """
    taken = {_last_segment(place) for place in _places(schema)}
    for name, other in others.items():
        segment = _last_segment(name)
        if segment in taken or any(_last_segment(place) != segment for place in _places(other)):
            raise _Unbounded
        taken.add(segment)


def _places(document: Any) -> list[str]:
    """Return the ids of a document."""
    found = [document.get(name) for name in ("$id", "id")] if isinstance(document, dict) else []
    return [place for place in found if isinstance(place, str)]


def _last_segment(uri: str) -> str:
    path = uri.partition("#")[0].partition("?")[0]
    last = unquote(_SEGMENT_START.split(path)[-1])
    if not _URI.fullmatch(uri) or last in ("", ".", ".."):
        raise _Unbounded
    return last


def _scan(document: Any) -> None:
    """Raise _Unbounded for parts that references may name by id or anchor instead of a pointer."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if part is not document and any(isinstance(part.get(name), str) for name in _UNCLEAR):
                raise _Unbounded
            if part is document and any(isinstance(part.get(name), str) for name in _UNCLEAR[:4]):
                raise _Unbounded
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
