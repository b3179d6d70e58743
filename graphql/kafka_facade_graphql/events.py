"""Server-sent events as clients read them."""

from __future__ import annotations

from strawberry.http.streaming import SSETransport


class EventTransport(SSETransport):
    """Events whose lines end in LF: urql takes nothing but two of them for the end of an event."""

    def encode_event(self, event: str, data: str | None = None) -> str:
        """One event with its data, a single line of JSON."""
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        """A comment, which clients skip."""
        return super().encode_comment(comment).replace("\r\n", "\n")
