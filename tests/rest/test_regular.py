"""Handlers derived from an operation's path, request and answer. The replay tests check their responses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.errors import FacadeError, InvalidPayload, MalformedBody, UnprocessableEntity
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
class Book:
    title: str
    pages: int | None = None


@dataclass(slots=True)
class FillShelf(Request[None]):
    cluster_id: str | None
    shelf_id: int
    books: list[Book]
    colour: str | None
    value: str | None
    sorted: bool = False
    tags: list[str] = field(default_factory=list)


async def _method(call: Any, request: Any) -> None:
    return None


def _operation(method: str) -> Operation:
    return Operation("api.v3.shelves.get", "open", method, PATH, "ShelfService", "GetShelf", "query", "shelf")


async def _asked(request: type[Any], query: dict[str, str], method: str = "GET", body: bytes = b"") -> object:
    """The request that the handler makes."""
    seen: list[object] = []

    async def run(asked: object) -> None:
        seen.append(asked)

    async def read() -> bytes:
        return body

    exchange: Any = SimpleNamespace(
        body=read,
        parameters={"cluster_id": "c", "shelf_id": "7"},
        integer=lambda name: int(exchange.parameters[name]),
        query=query.get,
        run=run,
    )
    await regular([_operation(method)], Implementation(_method, request, type(None)), DOCUMENTS)(exchange)
    return seen[0]


async def test_fields_come_from_path_and_query() -> None:
    assert await _asked(GetShelf, {}) == GetShelf("c", 7)
    assert await _asked(GetShelf, {"include_books": "True"}) == GetShelf("c", 7, True)


async def test_other_fields_come_from_the_body() -> None:
    body = b'{"books":[{"title":"a"},{"title":"b","pages":"7"}],"colour":"red","value":1.5,"sorted":true,"tags":["x"]}'
    books = [Book("a"), Book("b", 7)]
    assert await _asked(FillShelf, {}, "POST", body) == FillShelf("c", 7, books, "red", "1.5", True, ["x"])
    for body in (b'{"books":[]}', b'{"books":[],"colour":null,"value":null,"sorted":null,"tags":null}'):
        assert await _asked(FillShelf, {}, "POST", body) == FillShelf("c", 7, [], None, None)


@pytest.mark.parametrize(
    ("body", "kind", "blamed"),
    [
        (b" null", InvalidPayload, None),
        (b"{}", MalformedBody, "books"),
        (b'{"books":null}', MalformedBody, "books"),
        (b'{"books":[{"title":"a","pages":2147483648}]}', MalformedBody, "books[0].pages"),
        (b'{"books":[],"colour":1}', MalformedBody, "colour"),
        (b'{"books":[],"shelf_id":7}', UnprocessableEntity, "shelf_id"),
        (b'{"books":[{"title":"a","x":1}]}', UnprocessableEntity, "books[0].x"),
    ],
)
async def test_invalid_bodies(body: bytes, kind: type[FacadeError], blamed: str | None) -> None:
    with pytest.raises(kind) as failure:
        await _asked(FillShelf, {}, "POST", body)
    assert failure.value.field == blamed


def test_a_field_without_a_source_prevents_the_start() -> None:
    with pytest.raises(LookupError, match=r"api\.v3\.shelves\.get: books is neither in the path nor in the body"):
        regular([_operation("GET")], Implementation(_method, FillShelf, type(None)), DOCUMENTS)


def test_a_list_needs_a_kind_in_the_link_table() -> None:
    regular([_operation("GET")], Implementation(_method, GetShelf, Sequence[Topic]), DOCUMENTS)
    with pytest.raises(LookupError, match="the link table has no GetShelf"):
        regular([_operation("GET")], Implementation(_method, GetShelf, list[GetShelf]), DOCUMENTS)
