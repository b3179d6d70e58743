"""Base classes of requests, which are typed by their answer."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin

from kafka_facade.core.errors import FacadeError

Int64 = Annotated[int, 64]
"""A number of 64 bits, for faces that tell it from the usual 32."""

Answer = TypeVar("Answer")
_Answer = TypeVar("_Answer", covariant=True)
_Key = TypeVar("_Key")
_One = TypeVar("_One")


class Request(Generic[_Answer]):
    """Base of all requests; the type parameter is the type of the answer."""

    __slots__ = ()


@dataclass(slots=True)
class Many(Request[Sequence[_One | FacadeError]], Generic[_Key, _One]):
    """A request for many resources of one kind, made by GraphQL's DataLoaders.

    The answer has one resource or error per key, in order. A cluster id of None is the default cluster.
    """

    cluster_id: str | None
    keys: Sequence[_Key]


MUST_BE_GIVEN: Final[Mapping[str, bool]] = types.MappingProxyType({"must_be_given": True})
"""Metadata of a field whose default stands for a value that was not given. The core reports that itself; faces whose
schemas have required fields require it."""


def without_none(hint: Any) -> tuple[Any, bool]:
    """Return a type hint without None, and whether it had None."""
    if get_origin(hint) in (Union, types.UnionType):
        [kind] = [argument for argument in get_args(hint) if argument is not type(None)]
        return kind, True
    return hint, False


def is_required(field: Field[Any], hint: Any) -> bool:
    """Return whether callers must give a field of a request."""
    if field.metadata == MUST_BE_GIVEN:
        return True
    return field.default is field.default_factory is MISSING and not without_none(hint)[1]
