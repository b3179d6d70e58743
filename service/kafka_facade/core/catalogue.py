"""The operation catalogue: one row an operation, read from ``catalogue.tsv`` beside this module.

Everything that must be said about an operation hangs on its row: the identifier (the key for access lists on every
face), the REST route, the gRPC method and the GraphQL field. Faces look their handlers up here; whether an operation is
implemented follows from the core methods that say :func:`kafka_facade.core.registry.implements`.
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

    ``edition`` is ``open`` (every REST Proxy has it), ``server`` (only Confluent Server) or ``facade`` (ours alone);
    ``path`` is the REST path template without a prefix; ``graphql_type`` is query, mutation or subscription and
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
        """Raise :class:`NotImplementedYet` where no core method implements this operation."""
        if not self.implemented:
            raise NotImplementedYet(f"{self.identifier} is not implemented yet.", operation=self.identifier)


def mark_implemented(identifiers: Iterable[str]) -> None:
    """Note that the core has an implementation of these operations."""
    _implemented.update(identifiers)


def _read() -> tuple[Operation, ...]:
    text = resources.files(__package__).joinpath("catalogue.tsv").read_text(encoding="utf-8")
    return tuple(Operation(**row) for row in csv.DictReader(text.splitlines(), delimiter="\t"))


def _first(operations: Iterable[Operation]) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for operation in operations:
        found.setdefault(operation.identifier, operation)
    return found


# Operations that the REST Proxy API lacks; they have no REST route.
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
