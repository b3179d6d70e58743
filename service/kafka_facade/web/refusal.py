"""JSON error responses, in the REST API's format, for requests rejected before they reach a face."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status and a JSON body."""

    status: HTTPStatus
    body: bytes


def refusal(status: HTTPStatus, reason: str = "") -> Refusal:
    """``{"error_code": 400, "message": "HTTP 400 Bad Request: reason"}``."""
    message = f"HTTP {status.value} {status.phrase}" + (f": {reason}" if reason else "")
    return Refusal(status, json.dumps({"error_code": status.value, "message": message}, separators=(",", ":")).encode())
