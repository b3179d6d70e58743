"""The registry finds the method of an operation by its identifier and request type."""

from dataclasses import dataclass

import pytest

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import NotImplementedYet
from kafka_facade.core.registry import Registry, also_answers, field_names, implemented_by, implements
from kafka_facade.core.request import Request

CALL = Call(CATALOGUE["api.v3.topics.get"], Caller("rest"), 0.0)


@dataclass(slots=True)
class GetWord(Request[str]):
    number: int


@dataclass(slots=True)
class GetWords(Request[list[str]]):
    numbers: list[int]


class Words:
    @implements("api.v3.topics.get", "api.v2.topics.get")
    async def get(self, call: Call, request: GetWord) -> str:
        return f"word {request.number}"

    @also_answers("api.v3.topics.get")
    async def get_many(self, call: Call, request: GetWords) -> list[str]:
        return [f"word {number}" for number in request.numbers]


class OtherWords:
    @implements("api.v3.topics.get")
    async def get(self, call: Call, request: GetWords) -> list[str]:
        return []


async def test_the_type_of_the_request_chooses_the_method() -> None:
    registry = Registry([Words()], CATALOGUE)
    assert await registry.method("api.v3.topics.get", GetWord(1))(CALL, GetWord(1)) == "word 1"
    assert await registry.method("api.v2.topics.get", GetWord(2))(CALL, GetWord(2)) == "word 2"
    assert await registry.method("api.v3.topics.get", GetWords([3]))(CALL, GetWords([3])) == ["word 3"]


def test_the_implementation_has_the_types_of_request_and_answer() -> None:
    found = Registry([Words()], CATALOGUE).implementation("api.v3.topics.get")
    assert (found.request, found.answer) == (GetWord, str)


def test_a_request_of_another_operation_is_a_bug() -> None:
    with pytest.raises(TypeError, match=r"api\.v2\.topics\.get takes no GetWords"):
        Registry([Words()], CATALOGUE).method("api.v2.topics.get", GetWords([]))


def test_an_operation_without_an_implementation() -> None:
    with pytest.raises(NotImplementedYet):
        Registry([Words()], CATALOGUE).method("api.v3.topics.delete", GetWord(1))


def test_an_operation_has_one_implementation() -> None:
    with pytest.raises(LookupError, match=r"api\.v3\.topics\.get has two implementations"):
        Registry([Words(), OtherWords()], CATALOGUE)


class Misspelt:
    @implements("api.v3.topics.gte")
    async def get(self, call: Call, request: GetWord) -> str:
        return ""


def test_an_unknown_identifier_is_rejected() -> None:
    with pytest.raises(LookupError, match=r"no operation is called api\.v3\.topics\.gte"):
        Registry([Misspelt()], CATALOGUE)


def test_the_registry_knows_what_is_implemented() -> None:
    registry = Registry([Words()], CATALOGUE)
    assert "api.v3.topics.get" in registry
    assert "api.v3.topics.delete" not in registry
    assert implemented_by([Words]) == {"api.v3.topics.get", "api.v2.topics.get"}


@dataclass(slots=True)
class Shelf:
    book_titles: list[str]


@dataclass(slots=True)
class GetShelves(Request[dict[int, Shelf | None]]):
    shelf_ids: list[int]


class Shelves:
    @implements("api.v3.topics.list")
    async def get(self, call: Call, request: GetShelves) -> dict[int, Shelf | None]:
        return {}


def test_the_fields_of_all_requests_and_answers_are_known() -> None:
    assert field_names([Words, Shelves]) == {"number", "numbers", "shelf_ids", "book_titles"}
