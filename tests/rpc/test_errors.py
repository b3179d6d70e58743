"""Conversion of errors to gRPC statuses."""

import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError, InvalidRequest
from kafka_facade.rpc.errors import to_status


def details(status: Status, kind: type[ErrorInfo] | type[BadRequest] | type[RetryInfo]) -> list[object]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


@pytest.mark.parametrize("kind", ERRORS_BY_REASON.values(), ids=ERRORS_BY_REASON)
def test_every_error_has_its_code_and_one_error_info(kind: type[FacadeError]) -> None:
    status = to_status(kind(topic_name="t"))
    assert code_pb2.Code.Name(status.code) == kind.codes.grpc
    assert status.message
    assert details(status, ErrorInfo) == [
        ErrorInfo(
            reason=kind.reason,
            domain="kafka-facade",
            metadata={"topic_name": "t", "error_code": str(kind.codes.v3)},
        )
    ]
    assert bool(details(status, RetryInfo)) == kind.codes.retriable
    assert not details(status, BadRequest)


def test_errors_name_the_invalid_field() -> None:
    status = to_status(InvalidRequest("Too small.", field="page_size"))
    violation = BadRequest.FieldViolation(field="page_size", description="Too small.")
    assert details(status, BadRequest) == [BadRequest(field_violations=[violation])]
