"""The REST API's default messages of errors."""

import json

import pytest

from kafka_facade.core import errors
from kafka_facade.core.errors import ERRORS_BY_REASON, FacadeError
from kafka_facade.rest.errors import error_body, error_message, error_response


@pytest.mark.parametrize(
    ("error", "v2", "v3"),
    [
        (errors.TopicNotFound(), "Topic not found.", "This server does not host this topic-partition."),
        (errors.PartitionNotFound(partition_id="7"), "Partition not found.", "Partition not found."),
        (errors.NotFound("Broker 9 cannot be found."), "Broker 9 cannot be found.", "Broker 9 cannot be found."),
        (errors.ClusterNotFound(), "HTTP 404 Not Found", "HTTP 404 Not Found"),
        (errors.LeaderNotAvailable(), "Leader not available.", "Leader not available."),
        (errors.InvalidSchema("no type"), "no type", "Error: 42205 : no type"),
    ],
)
def test_default_messages(error: FacadeError, v2: str, v3: str) -> None:
    assert (error_message(error, 2), error_message(error, 3)) == (v2, v3)


def test_v3_uses_404_only_for_a_partition_in_the_path() -> None:
    error = errors.PartitionNotFound(topic_name="t", partition_id="7")
    assert error_body(error, 3).error_code == 40402
    status, body = error_response(error, 3, "GET")
    assert (status, json.loads(body)) == (404, {"error_code": 404, "message": "HTTP 404 Not Found"})
    status, body = error_response(error, 2, "GET")
    assert (status, json.loads(body)) == (404, {"error_code": 40402, "message": "Partition not found."})


@pytest.mark.parametrize("kind", ERRORS_BY_REASON.values(), ids=list(ERRORS_BY_REASON))
def test_every_error_has_a_message_in_both_versions(kind: type[FacadeError]) -> None:
    assert error_message(kind(), 2)
    assert error_message(kind(), 3)
