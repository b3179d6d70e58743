"""Checking against JSON schemas that may take for ever: with jsonschema, and a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urljoin

import jsonschema_rs
import msgspec
from jsonschema import validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from kafka_facade.core.quoting import quote
from kafka_facade.kafka.schemas.json_schema_options import PATTERNS
from kafka_facade.kafka.schemas.json_schema_size import objects

# The CPU time (s) for one value, looked at once for so many keywords; how deep references may be within one another.
_SECONDS: Final = 2.0
_KEYWORDS_A_LOOK: Final = 16
_MAX_DEPTH: Final = 60
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")

_Errors = Iterator[ValidationError]
_Keyword = Callable[[Any, Any, Any, Any], _Errors | None]


_NONE: Final = object()
_encode = msgspec.json.Encoder(order="deterministic").encode


class _Spent(ValueError):
    pass


class _Left(threading.local):
    """What is left of the budget for the value that a thread checks."""

    def begin(self) -> None:
        """Another value."""
        self.keywords, self.depth, self.until = 0, _MAX_DEPTH, time.thread_time() + _SECONDS

    def timed(self, keyword: _Keyword) -> _Keyword:
        """A keyword that ends the check where the time is over."""

        def check(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors | None:
            self.keywords -= 1
            if self.keywords < 0:
                self.keywords = _KEYWORDS_A_LOOK
                if time.thread_time() > self.until:
                    raise _Spent("the data is too large, or nested too much, for its schema to be checked in time")
            return keyword(validator, value, instance, parent)

        return check

    def followed(self, keyword: _Keyword) -> _Keyword:
        """A reference that ends the check where too many are within one another."""

        def check(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
            self.depth -= 1
            if self.depth < 0:
                raise _Spent("the data can't be checked: its schema refers to itself too often for it")
            try:
                yield from keyword(validator, value, instance, parent) or ()
            finally:
                self.depth += 1

        return check


def guarded_check(schema: Any, others: Mapping[str, Any]) -> Callable[[Any], None]:
    """A function that raises ValueError, with the place, for a value that isn't of the schema.

    jsonschema_rs.ValidationError for what is no schema.
    """
    # Without a registry it would fetch a meta-schema that it doesn't know.
    jsonschema_rs.meta.validate(schema, registry=jsonschema_rs.Registry([]))
    where = schema.get("$id") if isinstance(schema, dict) else None
    resources = [
        (uri, Resource.from_contents(other, default_specification=DRAFT7))
        for name, other in others.items()
        for uri in {name, urljoin(where, name) if isinstance(where, str) else name}
    ]
    if _mentions(schema, others, "unevaluatedProperties") and _mentions(schema, others, "patternProperties"):
        raise ValueError("unevaluatedProperties beside patternProperties can't be checked for so much data")
    for pattern in _patterns(schema, others):
        _leaf("pattern", pattern)
    left = _Left()
    kind: Any = validators.validator_for(schema, default=validators.Draft7Validator)
    own: dict[str, _Keyword] = {
        "pattern": _by_itself("pattern"),
        "format": _by_itself("format"),
        "uniqueItems": _unique_items,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "anyOf": _any_of,
        "oneOf": _one_of,
    }
    keywords = {
        name: left.timed(left.followed(keyword) if name in _REFERENCES else own.get(name, keyword))
        for name, keyword in kind.VALIDATORS.items()
    }
    validator: Validator = validators.extend(kind, keywords)(
        schema,
        registry=Registry().with_resources(resources),
    )

    def check(data: Any) -> None:
        left.begin()
        try:
            error = next(validator.iter_errors(data), None)
        except Unresolvable as problem:
            raise ValueError(f"the schema refers to what isn't there: {problem}") from None
        except BaseException as problem:
            # How the library's own library, written in Rust, takes the end of the stack.
            if type(problem).__module__ == "pyo3_runtime":
                raise _Spent("the data can't be checked: it is nested too deeply for its schema") from None
            raise
        if error is not None:
            path = quote("/".join(["#", *map(str, error.absolute_path)]))
            raise ValueError(f"{path}: {quote(error.message)}")

    return check


# Each may take 0.7 MB.
@lru_cache(maxsize=100)
def _leaf(keyword: str, value: str | bool) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft7Validator({keyword: value}, offline=True, pattern_options=PATTERNS)


def _mentions(schema: Any, others: Mapping[str, Any], keyword: str) -> bool:
    return any(keyword in part for part in objects(schema, others))


def _patterns(schema: Any, others: Mapping[str, Any]) -> Iterator[str]:
    for part in objects(schema, others):
        if isinstance(pattern := part.get("pattern"), str):
            yield pattern
        if isinstance(patterns := part.get("patternProperties"), dict):
            yield from patterns


def _by_itself(keyword: str) -> _Keyword:
    """A keyword that has no schemas in it, and whose time is bounded, as jsonschema-rs has it."""

    def check(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
        if isinstance(instance, str) and not _leaf(keyword, value).is_valid(instance):
            yield ValidationError(f"{quote(instance)!r} doesn't meet {keyword} {value!r}")

    return check


def _unique_items(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
    if value and isinstance(instance, list) and len({_encode(_normal(item)) for item in instance}) < len(instance):
        yield ValidationError("the items are not unique")


def _normal(value: Any) -> Any:
    """The value, such that equal ones have the same text: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    return value


# The keywords of the library that match patterns use Python's, which may backtrack for ever; those that collect errors
# keep as many texts of the whole value.


def _pattern_properties(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
    if isinstance(instance, dict):
        for pattern, subschema in value.items():
            matches = _leaf("pattern", pattern).is_valid
            for name, item in instance.items():
                if matches(name):
                    yield from validator.descend(item, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
    if not isinstance(instance, dict):
        return
    patterns = [_leaf("pattern", pattern).is_valid for pattern in parent.get("patternProperties", ())]
    properties = parent.get("properties", {})
    for name, item in instance.items():
        if name in properties or any(matches(name) for matches in patterns):
            continue
        if value is False:
            yield ValidationError(f"Additional properties are not allowed ({name[:100]!r} was unexpected)")
        else:
            yield from validator.descend(item, value, path=name)


def _any_of(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
    if not any(_is_valid(validator, subschema, instance) for subschema in value):
        yield ValidationError("the value is not valid under any of the given schemas")


def _one_of(validator: Any, value: Any, instance: Any, parent: Any) -> _Errors:
    valid = (subschema for subschema in value if _is_valid(validator, subschema, instance))
    if next(valid, _NONE) is _NONE:
        yield ValidationError("the value is not valid under any of the given schemas")
    elif next(valid, _NONE) is not _NONE:
        yield ValidationError("the value is valid under more than one of the given schemas")


def _is_valid(validator: Any, subschema: Any, instance: Any) -> bool:
    return next(validator.descend(instance, subschema), None) is None
