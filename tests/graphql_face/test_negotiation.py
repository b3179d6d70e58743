"""The media type of responses, for the headers of common clients and for any weights."""

import pytest

from kafka_facade_graphql.negotiation import EVENTS, JSON, RESPONSE, choose, json_type

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
APOLLO = "application/graphql-response+json,application/json;q=0.9"


@pytest.mark.parametrize(
    ("accept", "query", "subscription"),
    [
        (None, JSON, None),
        ("", JSON, None),
        ("*/*", JSON, None),
        ("application/*", JSON, None),
        (URQL, RESPONSE, EVENTS),
        ("text/event-stream, multipart/mixed", EVENTS, EVENTS),
        (APOLLO, RESPONSE, None),
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", JSON, None),
        ("application/json, text/event-stream", JSON, EVENTS),
        ("text/event-stream, application/json", JSON, EVENTS),
        ("text/event-stream", EVENTS, EVENTS),
        ("text/event-stream, application/json;q=0.9", EVENTS, EVENTS),
        ("text/event-stream;q=0.9, application/json", JSON, EVENTS),
        ("text/event-stream;q=0, application/json", JSON, None),
        ("text/event-stream;q=0.5, */*;q=0.4", EVENTS, EVENTS),
        ("text/event-stream, */*", JSON, EVENTS),
        ("text/*", None, None),
        ("application/json, application/graphql-response+json;q=0.5", JSON, None),
        ("application/json;q=0.5, application/graphql-response+json", RESPONSE, None),
        ("application/json, application/graphql-response+json", RESPONSE, None),
        ("application/json, */*", JSON, None),
        ("application/graphql-response+json;q=0.2, */*;q=0.8", JSON, None),
        ("application/json;q=0, */*", RESPONSE, None),
        ("APPLICATION/JSON", JSON, None),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON, None),
        ("image/png", None, None),
        ("nonsense", None, None),
    ],
)
def test_media_types_of_responses(accept: str | None, query: str | None, subscription: str | None) -> None:
    assert choose(accept, subscription=False) == query
    assert choose(accept, subscription=True) == subscription
    assert json_type(accept) == (query if query in (JSON, RESPONSE) else JSON)
