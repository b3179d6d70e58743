"""CSRF protection and CORS, as ASGI middleware in front of all faces.

A request is judged by ``Sec-Fetch-Site``, or by ``Origin`` if that is missing, as it is over plain HTTP. Callers that
send neither are not browsers. Requests that an origin is not allowed to make are rejected before they reach a face.

Over plain HTTP, an attacker's host name can resolve to the gateway's address, which makes a page under that name look
like same-origin (DNS rebinding). Therefore the host of such a page must be a known one. Over HTTPS the certificate
proves the host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from kafka_facade.web.authority import parse_authority
from kafka_facade.web.forwarded import asked
from kafka_facade.web.options import CrossOriginOptions
from kafka_facade.web.refusal import Refusal, refusal
from kafka_facade.web.scope import CROSS_ORIGIN

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_OWN_SITES: Final = (b"same-origin", b"none")
_ORIGIN: Final = re.compile(r"(https?)://([^/?#@]+)", re.IGNORECASE)
_LOOKED_AT: Final = frozenset({b"origin", b"sec-fetch-site"})
_VARY: Final = (b"vary", b"Origin")
# How long (s) a browser may cache a preflight response; the same as in the official proxy.
_MAX_AGE: Final = b"1800"
REFUSED: Final = refusal(HTTPStatus.FORBIDDEN, "the page's origin is not allowed (access.control.allow.origin)")
"""The response to a state-changing request from a disallowed origin."""
_UNKNOWN_HOST: Final = refusal(
    HTTPStatus.FORBIDDEN,
    "the page's host is not known to be the gateway's (access.control.own.hosts, advertised.listeners, host.name)",
)


class CrossOriginGuard:
    """ASGI middleware for CSRF protection and CORS."""

    def __init__(self, app: App, options: CrossOriginOptions) -> None:
        self._app = app
        self._forwarded = options.forwarded
        self._closed = options.closed_path
        self._allowed = [_pattern(origin) for origin in options.allow_origins]
        self._any = "*" in options.allow_origins
        self._own = {endpoint for origin in options.own_origins if (endpoint := _endpoint(origin)) is not None}
        own = (urlsplit(origin).hostname or "" for origin in options.own_origins)
        hosts = (*options.own_hosts, *own, options.host_name)
        self._hosts = [_pattern(host) for host in hosts if host]
        self._methods = [method.upper() for method in options.allow_methods] or ["GET", "POST", "HEAD"]
        self._headers = list(options.allow_headers) or ["X-Requested-With", "Content-Type", "Accept", "Origin"]
        self._expose = ",".join(options.expose_headers).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, answer a preflight, or pass the request on."""
        said = [field for field in scope["headers"] if field[0] in _LOOKED_AT] if "headers" in scope else []
        if not said and not self._allowed:
            await self._app(scope, receive, send)
            return
        fields = dict(said)
        origin = fields.get(b"origin", b"").decode("latin-1")
        allowed = self._any or (bool(origin) and any(pattern.fullmatch(origin) for pattern in self._allowed))
        fault = None if allowed else self._fault(scope, origin, fields.get(b"sec-fetch-site"))
        if fault is not None:
            if self._must_refuse(scope):
                await _refuse(scope, receive, send, fault, [_VARY] if self._allowed else [])
                return
            scope[CROSS_ORIGIN] = True
        if self._allowed and scope["type"] == "http":
            extra = self._answer_headers(origin) if allowed and origin else [_VARY]
            if allowed and origin and (preflight := self._preflight(scope)) is not None:
                await _answer(send, 200, [*extra, *preflight], b"")
                return
            send = _adding(send, extra)
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope, origin: str, site: bytes | None) -> Refusal | None:
        """Return why a page may not change anything; None for the gateway's own pages and for non-browsers."""
        if site is not None and site.lower() not in _OWN_SITES:
            return REFUSED
        if not origin:
            return None
        match = _ORIGIN.fullmatch(origin)
        found = None if match is None else _endpoint(origin)
        if match is None or found is None:
            # "null", a browser extension, or not sent by a browser.
            return REFUSED if site is None else None
        scheme = match[1].lower()
        if found in self._own:
            return None
        if site is None:
            asked_scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
            _, authority = asked(asked_scheme, scope.get("server"), scope["headers"], forwarded=self._forwarded)
            # TLS may be terminated in front of the gateway, so the default port is that of the page's scheme.
            if found != authority.endpoint(scheme):
                return REFUSED
        return None if scheme == "https" or self._is_known(found[0]) else _UNKNOWN_HOST

    def _is_known(self, host: str) -> bool:
        """Return whether a lower-case host is known to be the gateway's own."""
        if host == "localhost" or host.endswith(".localhost") or any(known.fullmatch(host) for known in self._hosts):
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True

    def _must_refuse(self, scope: Scope) -> bool:
        if scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS:
            return True
        path: str = scope["path"]
        if scope["method"] == "OPTIONS" or not self._closed:
            return False
        if path != self._closed and not path.startswith(self._closed + "/"):
            return False
        return (b"sec-fetch-mode", b"navigate") not in scope["headers"]

    def _answer_headers(self, origin: str) -> Headers:
        if self._any:
            return [(b"access-control-allow-origin", b"*"), *self._exposed()]
        allowed = (b"access-control-allow-origin", origin.encode("latin-1"))
        return [allowed, (b"access-control-allow-credentials", b"true"), _VARY, *self._exposed()]

    def _exposed(self) -> Headers:
        return [(b"access-control-expose-headers", self._expose)] if self._expose else []

    def _preflight(self, scope: Scope) -> Headers | None:
        """Return the headers of a preflight response, or None if the request is not a preflight."""
        if scope["method"] != "OPTIONS":
            return None
        asked_for = dict(scope["headers"])
        method = asked_for.get(b"access-control-request-method")
        if method is None:
            return None
        fields = asked_for.get(b"access-control-request-headers", b"")
        methods = method if "*" in self._methods else ",".join(self._methods).encode()
        headers = fields if "*" in self._headers else ",".join(self._headers).encode()
        found: Headers = [(b"access-control-max-age", _MAX_AGE), (b"access-control-allow-methods", methods)]
        return [*found, (b"access-control-allow-headers", headers)] if headers else found


def _pattern(origin: str) -> re.Pattern[str]:
    """Compile an origin such as ``https://*.example.org``; a star matches nothing that ends a host and port."""
    if origin == "*":
        return re.compile(".*", re.DOTALL)
    return re.compile(r"[^/?#@\\]*".join(re.escape(part) for part in origin.split("*")), re.IGNORECASE)


def _endpoint(url: str) -> tuple[str, int | None] | None:
    match = _ORIGIN.match(url)
    authority = None if match is None else parse_authority(match[2])
    return None if match is None or authority is None else authority.endpoint(match[1].lower())


def _adding(send: Send, extra: Headers) -> Send:
    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *extra]
        await send(message)

    return adding


async def _refuse(scope: Scope, receive: Receive, send: Send, fault: Refusal, extra: Headers) -> None:
    if scope["type"] == "websocket":
        await receive()
        # A close before the handshake becomes a 403 response.
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(send, fault.status, [(b"content-type", b"application/json"), *extra], fault.body)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
