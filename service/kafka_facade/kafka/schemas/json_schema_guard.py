"""Checking against JSON schemas that may take for ever: with jsonschema, and a budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urljoin

import jsonschema_rs
from jsonschema import validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from kafka_facade.kafka.schemas.json_schema_options import PATTERNS

# References that are followed for one value (a second or so), and within one another (the stack has an end).
_BUDGET: Final = 50_000
_MAX_DEPTH: Final = 60
_MAX_MESSAGE: Final = 1000


class _Spent(ValueError):
    pass


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
    left = threading.local()

    def spending(keyword: Callable[..., Iterator[ValidationError]]) -> Callable[..., Iterator[ValidationError]]:
        def check(validator: Any, value: Any, instance: Any, parent: Any) -> Iterator[ValidationError]:
            left.references -= 1
            left.depth -= 1
            if left.references < 0 or left.depth < 0:
                raise _Spent("the data can't be checked: its schema refers to itself too often for it")
            try:
                yield from keyword(validator, value, instance, parent)
            finally:
                left.depth += 1

        return check

    kind: Any = validators.validator_for(schema, default=validators.Draft7Validator)
    keywords: dict[str, Any] = {
        name: spending(kind.VALIDATORS[name])
        for name in ("$ref", "$dynamicRef", "$recursiveRef")
        if name in kind.VALIDATORS
    }
    keywords |= {"pattern": _by_itself("pattern"), "format": _by_itself("format")}
    keywords |= {"uniqueItems": _by_itself("uniqueItems"), "patternProperties": _pattern_properties}
    validator: Validator = validators.extend(kind, keywords)(
        schema,
        registry=Registry().with_resources(resources),
    )

    def check(data: Any) -> None:
        left.references, left.depth = _BUDGET, _MAX_DEPTH
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
            path = "/".join(["#", *map(str, error.absolute_path)])
            raise ValueError(f"{path}: {error.message[:_MAX_MESSAGE]}")

    return check


@lru_cache(maxsize=1000)
def _leaf(keyword: str, value: str | bool) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft7Validator({keyword: value}, offline=True, pattern_options=PATTERNS)


def _by_itself(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    """A keyword that has no schemas in it, and whose time is bounded, as jsonschema-rs has it."""

    def check(validator: Any, value: Any, instance: Any, parent: Any) -> Iterator[ValidationError]:
        if not _leaf(keyword, value).is_valid(instance):
            yield ValidationError(f"{str(instance)[:100]!r} doesn't meet {keyword} {value!r}")

    return check


def _pattern_properties(validator: Any, value: Any, instance: Any, parent: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, subschema in value.items():
            matches = _leaf("pattern", pattern).is_valid
            for name, item in instance.items():
                if matches(name):
                    yield from validator.descend(item, subschema, path=name, schema_path=pattern)
