"""Checks of a request head beyond its syntax (RFC 9112, 2.5, 3.2 and 6.1; RFC 9110, 10.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from kafka_facade.web.authority import parse_authority
from kafka_facade.web.refusal import Refusal, refusal

CHECKED_FIELDS: Final = frozenset({b"host", b"transfer-encoding", b"expect"})
"""The fields that :func:`check_head` looks at; names are lower-case."""

UNSUPPORTED_VERSION: Final = refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "use HTTP/1.1 or HTTP/1.0")
_BAD = HTTPStatus.BAD_REQUEST
_NO_HOST = refusal(_BAD, "HTTP/1.1 needs a Host field")
_TWO_HOSTS = refusal(_BAD, "there is more than one Host field")
_BAD_HOST = refusal(_BAD, "Host is not a host and a port")
_BAD_TARGET = refusal(_BAD, "the request target is not a path")
_CODING_IN_1_0 = refusal(_BAD, "HTTP/1.0 has no Transfer-Encoding")
_CHUNKED_NOT_LAST = refusal(_BAD, "chunked must be the last transfer coding, and stand once")
_UNKNOWN_CODING = refusal(HTTPStatus.NOT_IMPLEMENTED, "chunked is the only transfer coding here")
_UNKNOWN_EXPECTATION = refusal(HTTPStatus.EXPECTATION_FAILED)
_NO_TUNNELS = refusal(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is not served")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<rest>[?#].*)?")


def check_head(version: str, method: bytes, fields: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    """Check version (such as ``1.1``), method and ``CHECKED_FIELDS`` of a head; None if they are valid."""
    if version not in ("1.1", "1.0"):
        return UNSUPPORTED_VERSION
    if method == b"CONNECT":
        return _NO_TUNNELS
    host: bytes | None = None
    codings = b""
    for name, value in fields:
        if name == b"host":
            if host is not None:
                return _TWO_HOSTS
            host = value
        elif name == b"transfer-encoding":
            codings += b"," + value
        elif version == "1.1" and value.lower() != b"100-continue":
            return _UNKNOWN_EXPECTATION
    if host is None:
        if version == "1.1":
            return _NO_HOST
    elif host and parse_authority(host.decode("latin-1")) is None:
        return _BAD_HOST
    return _check_codings(version, codings) if codings else None


def _check_codings(version: str, codings: bytes) -> Refusal | None:
    if version == "1.0":
        return _CODING_IN_1_0
    names = [name.strip(b" \t").lower() for name in codings.split(b",")]
    names = [name for name in names if name]
    if not names or names[-1] != b"chunked" or names.count(b"chunked") > 1:
        return _CHUNKED_NOT_LAST
    return _UNKNOWN_CODING if len(names) > 1 else None


def split_target(target: bytes, method: bytes) -> tuple[bytes, bytes | None] | Refusal:
    """Split a request target into path with query, and the authority if it is in absolute form."""
    if target.startswith(b"/"):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return b"/", None
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return _BAD_TARGET
    if parse_authority(match["authority"].decode("latin-1")) is None:
        return _BAD_HOST
    return (match["path"] or b"/") + (match["rest"] or b""), match["authority"]
