"""What an operation is asked: a request says what it is answered with."""

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
    """Base of all requests: of those that are answered with this type."""

    __slots__ = ()


@dataclass(slots=True)
class Many(Request[Sequence[_One | FacadeError]], Generic[_Key, _One]):
    """Many things of one kind in one cluster (None: the default one), as GraphQL's loaders ask for them.

    The answer has one thing or error for each key, in order.
    """

    cluster_id: str | None
    keys: Sequence[_Key]
