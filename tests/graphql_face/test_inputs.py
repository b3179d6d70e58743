"""Inputs derived from requests. The committed SDL shows the resulting schema."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import strawberry

from kafka_facade.core.request import MUST_BE_GIVEN, Request
from kafka_facade_graphql.inputs import Fields, Given, derive_input


@dataclass(slots=True)
class Book:
    title: str
    pages: int | None = None


@dataclass(slots=True)
class FillShelf(Request[None]):
    cluster_id: str | None
    shelf: int
    books: list[Book]
    colour: str | None
    wood: str = field(default="", metadata=MUST_BE_GIVEN)
    sorted: bool = False
    tags: list[str] = field(default_factory=list)


BOOK = derive_input(Book, "BookInput", "A book.", {"title": "Its title.", "pages": "How long it is."})
FIELDS: Fields = {
    "shelf": Given("Its number.", name="shelf_id", read=lambda number: number + 1),
    "books": Given("The books.", of=BOOK),
    "colour": "Its colour.",
    "wood": "Its wood.",
    "sorted": "Whether it is sorted.",
    "tags": "Its tags.",
}
FILL = derive_input(FillShelf, "FillShelfInput", "The shelf to fill.", FIELDS)

SDL = '''
"""The shelf to fill."""
input FillShelfInput {
  """The cluster's id in Kafka."""
  clusterId: ID!

  """Its number."""
  shelfId: Int!

  """The books."""
  books: [BookInput!]!

  """Its colour."""
  colour: String = null

  """Its wood."""
  wood: String!

  """Whether it is sorted."""
  sorted: Boolean! = false

  """Its tags."""
  tags: [String!]! = []
}
'''


def _schema(seen: list[Any]) -> strawberry.Schema:
    @strawberry.type
    class Query:
        @strawberry.field
        def fill(self, input: FILL.type) -> bool:  # type: ignore[name-defined]
            seen.append(FILL.read(input))
            return True

    return strawberry.Schema(Query)


def test_the_input_has_the_fields_of_the_request() -> None:
    assert SDL.strip() in _schema([]).as_str()


async def test_inputs_are_converted_to_requests() -> None:
    seen: list[Any] = []
    given = '{ fill(input: {clusterId: "c", shelfId: 6, books: [{title: "a"}, {title: "b", pages: 9}], wood: "oak"}) }'
    result = await _schema(seen).execute(given)
    assert result.errors is None
    assert seen == [FillShelf("c", 7, [Book("a"), Book("b", 9)], None, "oak")]


@pytest.mark.parametrize("fields", [{}, {"title": "Its title.", "pages": "How long it is.", "price": "Its price."}])
def test_descriptions_and_fields_must_match(fields: Fields) -> None:
    with pytest.raises(LookupError, match="BookInput"):
        derive_input(Book, "BookInput", "A book.", fields)
