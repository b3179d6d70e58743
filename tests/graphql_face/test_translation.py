"""Errors as callers see them, and as the log has them."""

import logging

import pytest
from graphql import GraphQLError

from kafka_facade.core.errors import TABLE, FacadeError, TopicNotFound
from kafka_facade_graphql.errors import translate


@pytest.mark.parametrize("kind", TABLE.values(), ids=lambda kind: kind.reason)
def test_every_kind_is_told_by_its_row(kind: type[FacadeError]) -> None:
    shown = translate(GraphQLError("x", path=["topic"], original_error=kind("what went wrong")))
    assert shown.formatted == {
        "message": "what went wrong",
        "path": ["topic"],
        "extensions": {"code": kind.reason, "errorCode": kind.row.v3, "retriable": kind.row.retriable},
    }


def test_metadata_comes_along() -> None:
    shown = translate(GraphQLError("x", original_error=TopicNotFound(topic_name="orders")))
    assert shown.extensions is not None
    assert shown.extensions["metadata"] == {"topic_name": "orders"}


def test_what_no_caller_can_mend_is_masked_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    secret = RuntimeError("the password is swordfish")
    with caplog.at_level(logging.ERROR):
        shown = translate(GraphQLError(str(secret), path=["clusters", 0], original_error=secret))
        assert translate(shown) is shown
    assert shown.message == "Internal Server Error"
    assert shown.extensions == {"code": "INTERNAL", "errorCode": 500, "retriable": False}
    assert "swordfish" not in str(shown.formatted)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is secret


def test_a_document_that_is_wrong_is_the_callers_error() -> None:
    shown = translate(GraphQLError("Cannot query field 'x'."))
    assert shown.message == "Cannot query field 'x'."
    assert shown.extensions is not None
    assert shown.extensions["code"] == "MALFORMED_BODY"
