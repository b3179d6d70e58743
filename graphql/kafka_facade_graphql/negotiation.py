"""Negotiation of the response's media type (GraphQL over HTTP, "Accept"; RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import Final

from kafka_facade.web.cached import cached
from kafka_facade.web.media_types import best_range, parse_accept

JSON: Final = "application/json"
RESPONSE: Final = "application/graphql-response+json"
EVENTS: Final = "text/event-stream"


@cached(512)
def choose(accept: str | None, *, subscription: bool) -> str | None:
    """Return the media type that the caller prefers; None if none is acceptable.

    A subscription is only answered with server-sent events. For a query or mutation, events come last among types of
    the same weight, because clients list all types that they support. Exact types precede wildcards, and a wildcard
    does not include events.
    """
    ranges = parse_accept(accept or "*/*")
    best: tuple[float, bool, int] = (0.0, False, 0)
    chosen = None
    for preference, offer in ((2, RESPONSE), (3, JSON), (1, EVENTS)):
        found = best_range(offer, ranges)
        if found is None or not found.quality:
            continue
        named = found.type == offer
        if offer == EVENTS and not named:
            continue
        if subscription and offer != EVENTS:
            continue
        rank = (found.quality, named and offer != EVENTS, 4 if named and offer == RESPONSE else preference)
        if rank > best:
            best, chosen = rank, offer
    return chosen


def json_type(accept: str | None) -> str:
    """Return the JSON type for a response that cannot be an event stream, even if the caller accepts none."""
    chosen = choose(accept, subscription=False)
    return JSON if chosen is None or chosen == EVENTS else chosen
