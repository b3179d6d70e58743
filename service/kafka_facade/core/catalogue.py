"""The operation catalogue, read from ``catalogue.tsv`` beside this module: one row per operation.

A row has the operation's identifier (used by access lists on every face), REST route, gRPC method and GraphQL field.
Faces bind their handlers from it. An operation is implemented if a core method is marked with
:func:`kafka_facade.core.registry.implements`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from kafka_facade.core.errors import NotImplementedYet

GRPC_PACKAGE = "kafka_facade.v1"

_implemented: set[str] = set()


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

    @property
    def implemented(self) -> bool:
        """True once a core method implements the identifier."""
        return self.identifier in _implemented

    def require_implemented(self) -> None:
        """Raise :class:`NotImplementedYet` if no core method implements this operation."""
        if not self.implemented:
            raise NotImplementedYet(f"{self.identifier} is not implemented yet.", operation=self.identifier)


def mark_implemented(identifiers: Iterable[str]) -> None:
    """Mark operations as implemented by the core."""
    _implemented.update(identifiers)


def _read() -> tuple[Operation, ...]:
    text = resources.files(__package__).joinpath("catalogue.tsv").read_text(encoding="utf-8")
    return tuple(Operation(**row) for row in csv.DictReader(text.splitlines(), delimiter="\t"))


def _first(operations: Iterable[Operation]) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for operation in operations:
        found.setdefault(operation.identifier, operation)
    return found


# Operations that the REST Proxy API does not have; they have no REST route.
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
)

OPERATIONS: tuple[Operation, ...] = _read()
BY_IDENTIFIER: dict[str, Operation] = _first(OPERATIONS + EXTENSIONS)

INSTANCE_READS = frozenset(name for name in BY_IDENTIFIER if name.startswith("api.v2.consumers.consume-"))
"""The operations that read records through a consumer instance, and so advance its position."""
