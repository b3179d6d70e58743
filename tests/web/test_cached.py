"""Caches keep nothing of long texts that callers send."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from kafka_facade.core.catalogue import OPERATIONS
from kafka_facade.rest.routing import Router
from kafka_facade.web.authority import parse_authority
from kafka_facade_graphql import negotiation as graphql_negotiation

_ROUTER = Router(OPERATIONS)
_CONTRACT = next(endpoint.endpoint.contracts["POST"] for endpoint in _ROUTER.find("/v3/clusters/a/topics/b/records"))


@pytest.mark.parametrize(
    "take",
    [
        lambda text: _ROUTER.find(f"/v3/clusters/a/topics/{text}"),
        lambda text: _CONTRACT.select(None, f"application/json;a={text}"),
        lambda text: _CONTRACT.select(f"application/json;a={text}", None),
        lambda text: graphql_negotiation.choose(f"application/json;a={text}", subscription=False),
        parse_authority,
    ],
    ids=["path", "accept", "content type", "accept of GraphQL", "host"],
)
def test_long_texts_of_callers_are_not_kept(take: Callable[[str], object]) -> None:
    tracemalloc.start()
    try:
        for number in range(600):
            take(f"{number:08}" * 1000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
