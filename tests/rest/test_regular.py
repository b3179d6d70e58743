"""Handlers that are derived from an operation's path, request and answer. What they answer, the replay tests show."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_facade.core.links import KINDS
from kafka_facade.core.registry import Implementation
from kafka_facade.core.request import Request
from kafka_facade.core.topics.model import Topic
from kafka_facade.rest.documents import Documents
from kafka_facade.rest.regular import regular

DOCUMENTS = Documents(KINDS.values())
PATH = "/v3/clusters/{cluster_id}/shelves/{shelf_id}"


@dataclass(slots=True)
class GetShelf(Request[None]):
    cluster_id: str | None
    shelf_id: int
    include_books: bool = False


@dataclass(slots=True)
class FillShelf(Request[None]):
    cluster_id: str | None
    shelf_id: int
    books: list[str]


async def _method(call: Any, request: Any) -> None:
    return None


async def _asked(request: type[Any], path: str, query: dict[str, str]) -> object:
    """The request that the handler makes."""
    seen: list[object] = []

    async def run(asked: object) -> None:
        seen.append(asked)

    exchange: Any = SimpleNamespace(
        parameters={"cluster_id": "c", "shelf_id": "7"},
        integer=lambda name: int(exchange.parameters[name]),
        query=query.get,
        run=run,
    )
    await regular("api.v3.shelves.get", path, Implementation(_method, request, type(None)), DOCUMENTS)(exchange)
    return seen[0]


async def test_fields_come_from_path_and_query() -> None:
    assert await _asked(GetShelf, PATH, {}) == GetShelf("c", 7)
    assert await _asked(GetShelf, PATH, {"include_books": "True"}) == GetShelf("c", 7, True)


def test_a_field_that_is_nowhere_stops_the_start() -> None:
    with pytest.raises(LookupError, match=r"api\.v3\.shelves\.get: books is neither in the path nor in the body"):
        regular("api.v3.shelves.get", PATH, Implementation(_method, FillShelf, type(None)), DOCUMENTS)


def test_a_list_needs_a_kind_in_the_link_table() -> None:
    regular("api.v3.shelves.get", PATH, Implementation(_method, GetShelf, Sequence[Topic]), DOCUMENTS)
    with pytest.raises(LookupError, match="the link table has no GetShelf"):
        regular("api.v3.shelves.get", PATH, Implementation(_method, GetShelf, list[GetShelf]), DOCUMENTS)
