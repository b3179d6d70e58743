"""The operation catalogue, read from ``catalogue.tsv`` beside this module: one row per operation.

A row has the operation's identifier (used by access lists on every face), REST route, gRPC method and GraphQL field.
Faces bind their handlers from it. Which operations are implemented, the registry decides.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Final

GRPC_PACKAGE = "kafka_facade.v1"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    ``edition`` is ``open`` (in every REST Proxy), ``server`` (in Confluent Server only) or ``facade`` (in this gateway
    only); ``path`` is the REST path template without a prefix; ``graphql_type`` is query, mutation or subscription, and
    ``graphql_field`` the dotted path of fields from that root.
    """

    identifier: str
    edition: str
    method: str
    path: str
    grpc_service: str
    grpc_method: str
    graphql_type: str
    graphql_field: str


class Catalogue:
    """The operations that a gateway serves."""

    def __init__(self, operations: Iterable[Operation], extensions: Iterable[Operation] = ()) -> None:
        self.operations = tuple(operations)
        """Those of the REST Proxy API; one with several routes has several rows."""
        self.all = (*self.operations, *extensions)
        """The same, and those that have no REST route."""
        self.identifiers: dict[str, Operation] = {}
        """The first row of each operation."""
        for operation in self.all:
            self.identifiers.setdefault(operation.identifier, operation)

    def __getitem__(self, identifier: str) -> Operation:
        return self.identifiers[identifier]

    def __contains__(self, identifier: object) -> bool:
        return identifier in self.identifiers


def _read() -> tuple[Operation, ...]:
    text = resources.files(__package__).joinpath("catalogue.tsv").read_text(encoding="utf-8")
    return tuple(Operation(**row) for row in csv.DictReader(text.splitlines(), delimiter="\t"))


# What the REST Proxy API does not have, and so has no REST route. A stream that follows a resource has the identifier
# of the operation that reads it.
EXTENSIONS: tuple[Operation, ...] = (
    Operation("api.facade.records.consume", "facade", "", "", "RecordService", "Consume", "subscription", "records"),
    Operation(
        "api.facade.records.produce-stream",
        "facade",
        "",
        "",
        "RecordService",
        "ProduceStream",
        "mutation",
        "produceRecords",
    ),
    Operation(
        "api.v3.brokers.broker-tasks.search-by-type",
        "facade",
        "",
        "",
        "BrokerTaskService",
        "WatchBrokerTask",
        "subscription",
        "brokerTask",
    ),
)

OPERATIONS: tuple[Operation, ...] = _read()
CATALOGUE: Final = Catalogue(OPERATIONS, EXTENSIONS)
"""The catalogue of the gateway as it is shipped."""

INSTANCE_READS = frozenset(name for name in CATALOGUE.identifiers if name.startswith("api.v2.consumers.consume-"))
"""The operations that read records through a consumer instance, and so advance its position."""
