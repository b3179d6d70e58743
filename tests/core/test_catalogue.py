"""The catalogue: every operation once, with a place on each face."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from kafka_facade.cli import main
from kafka_facade.core import facade  # noqa: F401  # marks what is implemented
from kafka_facade.core.catalogue import BY_IDENTIFIER, OPERATIONS
from kafka_facade.core.errors import NotImplementedYet
from kafka_facade.core.registry import implements


def test_there_are_127_operations() -> None:
    assert len(OPERATIONS) == 127
    assert Counter(operation.edition for operation in OPERATIONS) == {"open": 86, "server": 41}


def test_a_route_belongs_to_one_operation_or_to_the_formats_of_one() -> None:
    routes: dict[tuple[str, str], set[str]] = {}
    for operation in OPERATIONS:
        routes.setdefault((operation.method, operation.path), set()).add(operation.identifier)
    for identifiers in routes.values():
        stems = {identifier.rsplit(".", 1)[0] for identifier in identifiers}
        assert len(stems) == 1, identifiers


def test_implemented_follows_from_the_code() -> None:
    assert BY_IDENTIFIER["api.v3.topics.get"].implemented
    assert not BY_IDENTIFIER["api.v3.links.create"].implemented
    with pytest.raises(NotImplementedYet, match=r"api\.v3\.links\.create"):
        BY_IDENTIFIER["api.v3.links.create"].require_implemented()


def test_what_is_printed_is_what_access_lists_take() -> None:
    printed = CliRunner().invoke(main, ["operations", "--format", "json"], catch_exceptions=False).stdout
    assert {row["identifier"] for row in json.loads(printed)} == set(BY_IDENTIFIER)


def test_an_unknown_identifier_is_refused() -> None:
    with pytest.raises(LookupError):
        implements("api.v3.topics.gte")(test_an_unknown_identifier_is_refused)
