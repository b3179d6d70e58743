"""The error classes: codes and messages for every face."""

import re

import grpc
import pytest

from kafka_facade.core import errors
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError


def _tree(cls: type[FacadeError], prefix: str = "") -> list[str]:
    lines = []
    children = cls.__subclasses__()
    for child in children:
        last = child is children[-1]
        lines.append(f"{prefix}{'└── ' if last else '├── '}{child.__name__}")
        lines += _tree(child, prefix + ("    " if last else "│   "))
    return lines


def test_the_module_opens_with_the_hierarchy_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = [line[4:] for line in errors.__doc__.splitlines() if re.match(r" {4}[│ ]*[├└]──", line)]
    assert drawn == _tree(FacadeError)


@pytest.mark.parametrize("cls", ERRORS_BY_REASON.values(), ids=list(ERRORS_BY_REASON))
def test_every_error_has_codes_and_a_message(cls: type[FacadeError]) -> None:
    error = cls()
    assert isinstance(getattr(grpc.StatusCode, error.codes.grpc), grpc.StatusCode)
    assert 400 <= error.codes.status < 600
    assert re.fullmatch(r"[A-Z][A-Z_]*[A-Z]", error.reason)
    for code in (error.codes.v2, error.codes.v3):
        assert code >= 400
    assert error.message


# Every error_code that the API reference names, with the HTTP status it gives it; without 50001 (ZooKeeper) and 50101
# (TLS endpoints only), whose causes do not exist any more.
DOCUMENTED = {
    400: 400, 40002: 400, 40035: 400, 40101: 401, 40301: 403, 404: 404, 40401: 404, 40402: 404, 40403: 404,
    404102: 404, 40601: 406, 40801: 408, 40902: 409, 40903: 409, 413: 413, 415: 415, 422: 422, 42201: 422,
    42202: 422, 42204: 422, 42205: 422, 42206: 422, 500: 500, 50002: 500, 50003: 500,
}  # fmt: skip


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_documented_code_is_in_the_table_with_its_status(code: int) -> None:
    found = [cls.codes for cls in ERRORS_BY_REASON.values() if code in (cls.codes.v2, cls.codes.v3)]
    assert DOCUMENTED[code] in {codes.status for codes in found}


def test_messages_name_the_missing_resource() -> None:
    assert errors.NotFound(broker_id="9").message == "Not found: broker_id 9"


def test_the_path_of_a_field_includes_its_parents() -> None:
    error = errors.InvalidRequest("bad", field="value.data")
    placed = error.within("records[1]")
    assert (placed.field, placed.message, type(placed)) == ("records[1].value.data", "bad", errors.InvalidRequest)
    assert error.field == "value.data"
    assert placed.within("entries[3].record", instead_of="records[1]").field == "entries[3].record.value.data"
    assert placed.within("entries[3].record", instead_of="records[10]") is placed
    assert placed.within("entries[3]", instead_of="records").field == "entries[3][1].value.data"
    unblamed = errors.KafkaTimeout()
    assert unblamed.within("records[1]") is unblamed
    assert unblamed.field is None


def test_the_message_about_a_missing_resource_names_no_field() -> None:
    error = errors.PartitionNotFound(partition_id="7", field="partition_id")
    assert error.message == "Partition not found: partition_id 7"
