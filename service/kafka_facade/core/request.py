"""Base classes of requests, which are typed by their answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kafka_facade.core.errors import FacadeError

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
