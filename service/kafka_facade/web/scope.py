"""What the entry and the faces tell each other in an ASGI scope."""

from __future__ import annotations

from typing import Final

STREAMED_BODY: Final = "kafka_facade.streamed_body"
"""True where the face reads the body as a stream, whose time has a limit of its own."""

CROSS_ORIGIN: Final = "kafka_facade.cross_origin"
"""True where a page of another origin asks, which CORS doesn't allow: nothing may change for it."""
