"""Creates GraphQL types from core resources, with the exposed fields and their descriptions."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import strawberry
from msgspec import NODEFAULT, Struct, structs

_Core = TypeVar("_Core", bound=type[Struct])
_Type = TypeVar("_Type", bound=type[Any])


def plain(core_type: _Core) -> _Core:
    """Return a dataclass with the fields of a core struct, because a Strawberry type cannot inherit from a struct."""
    described: list[Any] = [
        (found.name, found.type)
        if found.default is NODEFAULT
        else (found.name, found.type, dataclasses.field(default=found.default))
        for found in structs.fields(core_type)
    ]
    made: Any = dataclasses.make_dataclass(core_type.__name__, described)
    made.__module__ = core_type.__module__
    made.core_type = core_type
    return cast(_Core, made)


def resource(*, description: str, fields: Mapping[str, str] | None = None) -> Callable[[_Type], _Type]:
    """Class decorator for a type that inherits from a core resource.

    ``fields`` maps exposed inherited fields to their descriptions. All other inherited fields are hidden, such as
    references to other resources, which links replace. Resolvers return core values for the type; each counts as an
    object of the response.
    """
    shown = fields or {}

    def decorate(cls: _Type) -> _Type:
        base = cls.__bases__[0]
        core_type = getattr(base, "core_type", base)
        own = set(vars(cls).get("__annotations__", ())) | set(vars(cls))

        def is_type_of(_cls: type[Any], value: object, info: Any) -> bool:
            found = isinstance(value, core_type)
            if found:
                info.context.count_object()
            return found

        cls.is_type_of = classmethod(is_type_of)
        defined = strawberry.type(cls, description=description)
        definition: Any = defined.__strawberry_definition__
        unknown = shown.keys() - {field.python_name for field in definition.fields}
        if unknown:
            raise LookupError(f"{core_type.__name__} has no {', '.join(sorted(unknown))}")
        kept = []
        for field in definition.fields:
            if field.python_name in shown:
                field.description = shown[field.python_name]
                field.type_annotation.namespace = vars(sys.modules[core_type.__module__])
            elif field.python_name not in own and field.base_resolver is None:
                continue
            kept.append(field)
        definition.fields = kept
        return defined

    return decorate
