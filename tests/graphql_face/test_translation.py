"""Errors as returned to callers, and as logged."""

import logging

import pytest
from graphql import GraphQLError, OperationDefinitionNode, parse

from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError, InvalidRequest, TopicNotFound
from kafka_facade_graphql.errors import MAX_ERRORS, translate, translate_all

CODES = {"SERVER_ERROR": "INTERNAL_SERVER_ERROR"}


@pytest.mark.parametrize("kind", ERRORS_BY_REASON.values(), ids=lambda kind: kind.reason)
def test_every_error_has_its_code(kind: type[FacadeError]) -> None:
    shown = translate(GraphQLError("x", path=["topic"], original_error=kind("what went wrong")))
    assert shown.formatted == {
        "message": "what went wrong",
        "path": ["topic"],
        "extensions": {
            "code": CODES.get(kind.reason, kind.reason),
            "errorCode": kind.codes.v3,
            "retriable": kind.codes.retriable,
        },
    }


def test_errors_have_their_metadata() -> None:
    shown = translate(GraphQLError("x", original_error=TopicNotFound(topic_name="orders")))
    assert shown.extensions is not None
    assert shown.extensions["metadata"] == {"topicName": "orders"}


def test_an_internal_error_is_masked_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    secret = RuntimeError("the password is swordfish")
    with caplog.at_level(logging.ERROR):
        shown = translate(GraphQLError(str(secret), path=["clusters", 0], original_error=secret))
        assert translate(shown) is shown
    assert shown.message == "Internal Server Error"
    assert shown.extensions == {"code": "INTERNAL_SERVER_ERROR", "errorCode": 500, "retriable": False}
    assert "swordfish" not in str(shown.formatted)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is secret


def test_an_invalid_document_is_an_error_of_the_caller() -> None:
    shown = translate(GraphQLError("Cannot query field 'x'."))
    assert shown.message == "Cannot query field 'x'."
    assert shown.extensions is not None
    assert shown.extensions["code"] == "BAD_USER_INPUT"


def test_the_invalid_field_has_its_graphql_name() -> None:
    error = InvalidRequest("bad", field="records[1].value.schema.subject_name_strategy", topic_name="t")
    document = parse("mutation { produceRecords(input: {}) { results } query(first: 1) { x } }")
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    mutation, query = operation.selection_set.selections
    shown = translate(GraphQLError("x", mutation, original_error=error)).extensions or {}
    assert shown["field"] == "input.records[1].value.schema.subjectNameStrategy"
    assert shown["metadata"] == {"topicName": "t"}
    shown = translate(GraphQLError("x", query, original_error=error.at("page_size"))).extensions or {}
    assert shown["field"] == "pageSize"


def test_messages_and_the_number_of_errors_are_limited() -> None:
    long = translate(GraphQLError("x" * 10_000, original_error=InvalidRequest("y" * 10_000, topic_name="z" * 10_000)))
    assert len(str(long.formatted)) < 1500
    errors = translate_all([GraphQLError("x")] * 5000, None)
    assert len(errors) == MAX_ERRORS + 1
    assert errors[-1].message == "4900 more errors are omitted."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidRequest("resource_type cannot be ANY", field="resource_type"), "resourceType cannot be ANY"),
        (TopicNotFound(topic_name="my_topic"), "Topic not found: topicName my_topic"),
        (InvalidRequest("Only one of 'subject_name_strategy' or 'subject' can be used."),
         "Only one of 'subjectNameStrategy' or 'subject' can be used."),
        (InvalidRequest("snake_case_word is not a name of ours"), "snake_case_word is not a name of ours"),
    ],
)  # fmt: skip
def test_messages_have_graphql_names(error: FacadeError, message: str) -> None:
    assert translate(GraphQLError("x", original_error=error)).message == message
