"""The REST face as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from kafka_facade.core.call import Call
from kafka_facade.core.catalogue import INSTANCE_READS, Operation
from kafka_facade.core.core import Core
from kafka_facade.core.errors import (
    FacadeError,
    InvalidRequest,
    MethodNotAllowed,
    NotAcceptable,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
)
from kafka_facade.core.outgoing import use_peer
from kafka_facade.core.reservation import Reservation, use_reservation
from kafka_facade.rest import (  # noqa: F401  the handlers register themselves
    v2_consumers,
    v2_metadata,
    v2_produce,
    v3_acls,
    v3_brokers,
    v3_configs,
    v3_exclusions,
    v3_produce,
    v3_produce_batch,
    v3_topics,
)
from kafka_facade.rest.asgi import AsgiConnection, Scope, Send
from kafka_facade.rest.connection import Connection
from kafka_facade.rest.documents import Documents
from kafka_facade.rest.errors import as_facade_error, error_response
from kafka_facade.rest.exchange import CALLER, Exchange, Response
from kafka_facade.rest.handlers import HANDLERS, Handler
from kafka_facade.rest.negotiation import JSON, Contract
from kafka_facade.rest.options import RestOptions
from kafka_facade.rest.regular import all_handlers
from kafka_facade.rest.routing import Match, Router
from kafka_facade.rest.sending import send_response, while_sent
from kafka_facade.web.body import ClientDisconnected, Read, Receive
from kafka_facade.web.charsets import from_latin_1
from kafka_facade.web.content_coding import decoded
from kafka_facade.web.cross_origin import REFUSED

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# The order in which the official proxy names methods.
_METHOD_ORDER: Final = ("HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH")


def create_app(core: Core, options: RestOptions) -> ASGIApp:
    """Create the ASGI application; it handles HTTP requests only. Raises LookupError if a handler cannot be derived."""
    if unknown := HANDLERS.keys() - core.catalogue.identifiers.keys():
        raise LookupError(f"no operation is called {', '.join(sorted(unknown))}")
    versions = {"api.v2.": options.v2_enabled, "api.v3.": options.v3_enabled}
    enabled = [operation for operation in core.catalogue.operations if versions.get(operation.identifier[:7])]
    documents = Documents(core.kinds.values())
    return RestApp(core, options, documents, Router(enabled), all_handlers(enabled, core.registry, documents))


class RestApp:
    """Routes a request, negotiates media types, runs the handler, and sends the response."""

    def __init__(
        self,
        core: Core,
        options: RestOptions,
        documents: Documents,
        router: Router,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._core = core
        self._options = options
        self._documents = documents
        self._router = router
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        await self.serve(AsgiConnection(scope, receive, send))

    async def serve(self, connection: Connection) -> None:
        """Handle one request."""
        version = 3
        media_type = JSON
        response: Response | None
        try:
            matches = self._router.find(connection.path)
            version = matches[0].endpoint.version
            if connection.method == "OPTIONS":
                response = self._options_response(matches)
            else:
                match, contract = _matching(matches, connection.method)
                operation, media_type = contract.select(*_types(connection.headers))
                response = _refusal(operation, connection)
                if response is None:
                    # Admit the call before reading the body, so that the body of a rejected call is not needed.
                    with self._core.admitted(operation.identifier, CALLER) as call:
                        exchange = self._exchange(call, match, connection, contract, media_type)
                        use_reservation(exchange.reservation)
                        use_peer(connection, connection.abort)
                        try:
                            response = await self._handlers[operation.identifier](exchange)
                        finally:
                            exchange.reservation.release()
        except ClientDisconnected:
            # The response only arrives if the caller has only half-closed the connection.
            closed = InvalidRequest("The caller closed its side of the connection before the answer was there.")
            response = self._error_response(closed, version, connection, media_type)
        except asyncio.CancelledError:
            # Cancelled by the shutdown timeout: still send an error, unless a response has begun.
            if not self._core.pipeline.closing.is_set() or connection.started:
                raise
            draining = Unavailable("The server is shutting down.")
            response = self._error_response(draining, version, connection, media_type)
        except Exception as failure:
            response = self._error_response(as_facade_error(failure), version, connection, media_type)
        if response is not None:
            try:
                async with while_sent(self._core, connection, len(response.body)):
                    await send_response(response, connection, media_type, compression=self._options.compression)
            except TooManyRequests as error:
                # It has waited for memory for too long.
                response = self._error_response(error, version, connection, media_type)
                await send_response(response, connection, media_type, compression=self._options.compression)

    def _exchange(
        self,
        call: Call,
        match: Match,
        connection: Connection,
        contract: Contract,
        media_type: str,
    ) -> Exchange:
        return Exchange(
            self._core,
            self._options,
            self._documents,
            connection,
            _decoded(connection, contract),
            call,
            # A connection of HTTP/1.1 has one request at a time.
            Reservation(self._core.pipeline.overload.requests, connection),
            match.parameters,
            match.prefix,
            match.endpoint.template,
            match.endpoint.version,
            media_type,
        )

    def _error_response(self, error: FacadeError, version: int, connection: Connection, media_type: str) -> Response:
        status, body = error_response(error, version, connection.method)
        response = Response(status, body, content_type=media_type)
        if isinstance(error, (UnsupportedMediaType, NotAcceptable)) and error.codes.v3 == status:
            response.content_type = JSON
        if status == 415 and b"content-encoding" in connection.headers:
            response.headers.append((b"accept-encoding", b"gzip"))
        if status == 405:
            response.content_type = JSON
            allowed = self._allowed(self._router.find(connection.path))
            response.headers.append((b"allow", ",".join(allowed).encode()))
        return response

    def _options_response(self, matches: tuple[Match, ...]) -> Response:
        allowed = self._allowed(matches)
        headers = [(b"allow", ",".join(allowed).encode())]
        return Response(200, ", ".join(allowed).encode(), headers, "text/plain")

    def _allowed(self, matches: tuple[Match, ...]) -> list[str]:
        permits = self._core.pipeline.permits
        methods = {
            method
            for match in matches
            for method, operations in match.endpoint.operations.items()
            if any(map(permits, operations))
        }
        takes = any(
            operation.identifier in INSTANCE_READS
            for match in matches
            for operation in match.endpoint.operations.get("GET", ())
        )
        methods |= {"OPTIONS", "HEAD"} if "GET" in methods and not takes else {"OPTIONS"}
        return [method for method in _METHOD_ORDER if method in methods]


def _matching(matches: tuple[Match, ...], method: str) -> tuple[Match, Contract]:
    """Return the first match with the method, and its contract. Raises MethodNotAllowed."""
    wanted = "GET" if method == "HEAD" else method
    for match in matches:
        contract = match.endpoint.contracts.get(wanted)
        if contract is not None:
            return match, contract
    raise MethodNotAllowed


def _types(headers: Mapping[bytes, bytes]) -> tuple[str | None, str | None]:
    """Content-Type and Accept."""
    content_type, accept = headers.get(b"content-type"), headers.get(b"accept")
    return (
        None if content_type is None else content_type.decode("latin-1"),
        None if accept is None else accept.decode("latin-1"),
    )


def _refusal(operation: Operation, connection: Connection) -> Response | None:
    """Reject a read of records with HEAD, which would discard them, or from a disallowed origin."""
    if operation.identifier not in INSTANCE_READS:
        return None
    if connection.method == "HEAD":
        raise MethodNotAllowed
    return Response(REFUSED.status, REFUSED.body, content_type=JSON) if connection.cross_origin else None


def _decoded(connection: Connection, contract: Contract) -> Read:
    """Return a reader of the decompressed body in UTF-8. Raises UnsupportedMediaType."""
    read = decoded(connection.headers, connection.read)
    return from_latin_1(read) if contract.is_latin_1(_types(connection.headers)[0]) else read
