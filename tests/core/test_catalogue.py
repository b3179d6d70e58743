"""The catalogue has every operation once, with its REST route, gRPC method and GraphQL field."""

import json
from collections import Counter

from click.testing import CliRunner

from kafka_facade.cli import main
from kafka_facade.core.catalogue import CATALOGUE, OPERATIONS
from kafka_facade.core.core import IMPLEMENTED


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


def test_implemented_operations_are_derived_from_the_code() -> None:
    assert "api.v3.topics.get" in IMPLEMENTED
    assert "api.v3.links.create" not in IMPLEMENTED


def test_access_lists_accept_the_printed_identifiers() -> None:
    printed = CliRunner().invoke(main, ["operations", "--format", "json"], catch_exceptions=False).stdout
    assert {row["identifier"] for row in json.loads(printed)} == set(CATALOGUE.identifiers)
