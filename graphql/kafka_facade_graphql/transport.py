"""GraphQL over HTTP (the GraphQL-over-HTTP draft), server-sent events, and graphql-transport-ws."""

from __future__ import annotations

import asyncio
import json
from codecs import BOM_UTF8
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from cross_web import AsyncHTTPRequestAdapter, HTTPException, StarletteRequestAdapter
from graphql import GraphQLError, GraphQLFormattedError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, GraphQLRequestProtocol
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from kafka_facade.core.core import Core
from kafka_facade.core.errors import (
    FacadeError,
    MalformedBody,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    UnsupportedMediaType,
)
from kafka_facade.core.instances.interruption import unless
from kafka_facade.core.outgoing import use_peer
from kafka_facade.core.records.long_values import encode_in_pieces, whole
from kafka_facade.core.reservation import Reservation
from kafka_facade.core.time_slices import time_slice
from kafka_facade.web.body import Read, from_asgi, to_asgi
from kafka_facade.web.charsets import from_latin_1
from kafka_facade.web.content_coding import decoded
from kafka_facade.web.media_types import LATIN_1, UNICODE, parse_media_type
from kafka_facade.web.scope import abort, until_lost
from kafka_facade_graphql import ide
from kafka_facade_graphql.context import Context, Memory, use_decoding
from kafka_facade_graphql.errors import Code, extensions_of, refusal, translate
from kafka_facade_graphql.handing_over import current, handing_over
from kafka_facade_graphql.negotiation import EVENTS, JSON, RESPONSE, choose, json_type
from kafka_facade_graphql.numbers import decode_exactly, decodes_slowly, why_not
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.schema import Graph, Schema, create_schema
from kafka_facade_graphql.streaming import EventStream, WebSocketAdapter, WebSocketHandler, in_parts

_SUBSCRIPTIONS_PER_CONNECTION = 100
# How long (s) a large body waits for a thread.
_THREAD_SECONDS = 5.0
_NEEDS_STREAM = "A subscription is served over a websocket (graphql-transport-ws) or as text/event-stream."
_NEEDS_JSON = "The answer can be application/json, application/graphql-response+json or text/event-stream."
_METHODS = "GET, HEAD, POST, OPTIONS"


class _NotReadable(json.JSONDecodeError):
    """A text is no JSON, or has a number that is out of range, at ``path``."""

    def __init__(self, why: str, path: str | None) -> None:
        super().__init__(why, "", 0)
        self.path = path


class _Parsed(bytes):
    """A placeholder for a body that has already been parsed."""

    data: Any


class _RequestAdapter(StarletteRequestAdapter):
    """Adapts a request for Strawberry, which compares media types exactly."""

    parsed: _Parsed | None = None

    async def get_body(self) -> bytes:
        """Return the body or its placeholder."""
        return await super().get_body() if self.parsed is None else self.parsed

    @property
    def content_type(self) -> str | None:
        """The media type of the body, lower-case (RFC 9110, 8.3.1)."""
        found = super().content_type
        return None if found is None else found.lower()


class GraphQLEndpoint(GraphQL[Context, None]):
    """The ASGI application of the endpoint itself, for the scopes http and websocket."""

    graphql_transport_ws_handler_class = WebSocketHandler
    request_adapter_class = _RequestAdapter
    websocket_adapter_class = WebSocketAdapter

    schema: Schema

    def __init__(self, core: Core, options: GraphQLOptions, graph: Graph) -> None:
        super().__init__(
            create_schema(options, core.catalogue, graph),
            graphql_ide="graphiql" if options.graphiql else None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            max_subscriptions_per_connection=_SUBSCRIPTIONS_PER_CONNECTION,
        )
        self._core = core
        self._options = options
        self._page = ide.page(options.path) if options.graphiql else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a stream or a websocket."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        async with handing_over() as held:
            response = await self._response(scope, receive)
            if response is not None:
                # ConnectionError: the caller has disconnected or was aborted.
                with suppress(ConnectionError):
                    if not isinstance(response, EventStream):
                        try:
                            await held.sending_begins(self._core.pipeline.overload.outgoing, len(response.body))
                        except TooManyRequests as error:
                            response = _error_response(error, Request(scope))
                    await response(scope, receive, held.before_the_end(scope, in_parts(send)))

    async def _response(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the response to a request; None if the caller has disconnected."""
        # Handle HEAD as GET; the server omits the body (RFC 9110, 9.3.2).
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        request = Request(asked, receive)
        response: Response
        try:
            read = decoded(dict(scope["headers"]), from_asgi(receive))
            if _is_latin_1(request):
                read = from_latin_1(read)
            request = Request(asked, to_asgi(_bounded(read, self._options.max_body_bytes)))
            if scope["method"] == "OPTIONS":
                response = Response(_METHODS, headers={"allow": _METHODS}, media_type="text/plain")
            else:
                response = await self.run(request)
        except HTTPException as error:
            kind = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code, MalformedBody)
            response = _error_response(kind(error.reason), request)
        except FacadeError as error:
            response = _error_response(error, request)
        except GraphQLError as error:
            # Like Apollo Server, which responds with 200 and this header.
            response = _json_response({"errors": [error.formatted]}, 200, json_type(request.headers.get("accept")))
            response.headers["cache-control"] = "private, no-cache, must-revalidate"
        except ClientDisconnect:
            return None
        return response

    def is_websocket_origin_allowed(self, request: WebSocket, origin: str) -> bool:
        """Allow all origins here, because the cross-origin middleware has already checked them."""
        return True

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return the context for resolvers."""
        use_decoding(self._core.decoding)
        overload, connection = self._core.pipeline.overload, object()
        budgets = (overload.requests, overload.responses, overload.events)
        use_peer(connection, partial(abort, request.scope))
        memory = Memory(*(Reservation(budget, connection) for budget in budgets))
        return Context(self._core, self._options.max_objects, memory)

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Return a response that carries the negotiated media type."""
        response = await super().get_sub_response(request)
        response.media_type = json_type(request.headers.get("accept"))
        return response

    async def render_graphql_ide(self, request: Request) -> Response:
        """The GraphiQL page."""
        return HTMLResponse(self._page, headers={"cache-control": "no-cache", "vary": "accept"})

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Return whether a browser requests the page."""
        return (
            self.graphql_ide is not None
            and request.method == "GET"
            and "query" not in request.query_params
            and "text/html" in request.headers.get("accept", "")
        )

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Return the parameters of the request, including the protocol of the response.

        Raises HTTPException for parameters of the wrong type, UnsupportedMediaType, NotAcceptable, and GraphQLError for
        a persisted query.
        """
        if request.method == "POST":
            content_type = parse_media_type(request.content_type or "")
            if content_type is None or content_type.type != JSON:
                raise UnsupportedMediaType("The body of the request must be application/json.")
            if content_type.charset is not None and content_type.charset not in UNICODE | LATIN_1:
                raise UnsupportedMediaType("The body of the request must be in UTF-8 or ISO-8859-1.")
            await self._parse_large(request)
        data = await super().parse_http_body(request)
        if isinstance(data, list):
            return data
        if request.method == "GET" and data.operation_name == "":
            # The draft says so for URLs.
            data.operation_name = None
        if not isinstance(data.operation_name, str | None):
            raise HTTPException(400, "The GraphQL operation's `operationName` must be a string or null, if provided.")
        if not data.query and "persistedQuery" in (data.extensions or {}):
            # With this message and code, clients retry with the whole query.
            raise refusal("PersistedQueryNotSupported", Code.PERSISTED_QUERY_NOT_SUPPORTED)
        if not data.query:
            raise MalformedBody("The request has no query.")
        kind = await self.schema.operation_type(data.query, data.operation_name, self._core)
        subscription = kind is OperationType.SUBSCRIPTION
        chosen = choose(request.headers.get("accept"), subscription=subscription)
        if chosen is None:
            raise NotAcceptable(_NEEDS_STREAM if subscription else _NEEDS_JSON)
        data.protocol = "sse" if chosen == EVENTS else "http"
        return data

    async def _parse_large(self, request: AsyncHTTPRequestAdapter) -> None:
        """Parse a large body in a thread. Raises PayloadTooLarge."""
        body = await request.get_body()
        if isinstance(request, _RequestAdapter) and decodes_slowly(body):
            parsed = _Parsed()
            parsed.data = await self._core.read_json(self._read_json, body, _THREAD_SECONDS, slow=True)
            request.parsed = parsed

    def parse_json(self, data: str | bytes) -> Any:
        """Parse the JSON object in a body or parameter."""
        found = data.data if isinstance(data, _Parsed) else self._read_json(data)
        if not isinstance(found, dict | list | None):
            raise HTTPException(400, "The request must be a JSON object.")
        return {} if found is None else found

    def _read_json(self, data: str | bytes) -> object:
        try:
            return self.decode_json(data)
        except _NotReadable as error:
            message = f"Unable to parse request body as JSON: {error.msg}."
            # As in other errors, the path of a variable begins with its name.
            details = {} if error.path is None else {"field": error.path.removeprefix("variables.")}
            raise MalformedBody(message, **details) from None

    def decode_json(self, data: str | bytes) -> object:
        """Decode JSON. Raises json.JSONDecodeError if it is invalid."""
        # Ignore a byte order mark (RFC 8259, 8.1).
        text = data.removeprefix(BOM_UTF8) if isinstance(data, bytes) else data
        try:
            return decode_exactly(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _NotReadable(*why_not(text, error)) from error

    def encode_json(self, data: object) -> str:
        """Encode data as JSON."""
        return msgspec.json.encode(data, enc_hook=whole).decode()

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """Run a query or mutation; reject a subscription. Raises ClientDisconnect if the caller of a query is gone."""
        found: ExecutionResult | None = None

        async def run() -> None:
            nonlocal found
            found = await self._execute(request_adapter, context, root_value, request_data)

        kind = await self.schema.operation_type(request_data.query, request_data.operation_name, self._core)
        if kind is OperationType.QUERY:
            lost = asyncio.create_task(until_lost(request.scope), name="caller of a query")
            try:
                await unless(lost, run())
            finally:
                lost.cancel()
                await asyncio.gather(lost, return_exceptions=True)
        else:
            await run()
        if found is None:
            raise ClientDisconnect
        return found

    async def _execute(
        self,
        request_adapter: AsyncHTTPRequestAdapter,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        allowed = OperationType.from_http(request_adapter.method) - {OperationType.SUBSCRIPTION}
        try:
            return await self.schema.execute(
                request_data.query,
                root_value=root_value,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types=allowed,
                operation_extensions=request_data.extensions,
            )
        except CannotGetOperationTypeError as error:
            raise MalformedBody(error.as_http_error_reason()) from error
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise NotAcceptable(_NEEDS_STREAM) from error
            raise MethodNotAllowed(error.as_http_error_reason(request_adapter.method)) from error

    async def _create_streaming_response(
        self, request: Request, result: Any, protocol: GraphQLRequestProtocol, sub_response: Response
    ) -> Response:
        """Return a response that streams results."""

        # The request keeps its body.
        without_body = Request(request.scope)

        async def encode(found: ExecutionResult) -> bytes:
            await time_slice()
            data = msgspec.json.encode(await self.process_result(without_body, found))
            try:
                await current().sending_begins(self._core.pipeline.overload.outgoing, len(data))
            except TooManyRequests as error:
                data = msgspec.json.encode({"errors": [_shown(error)]})
            return data

        transport = self._get_stream_transport(protocol)
        return EventStream(result, encode, transport.headers if transport is not None else {})

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Return the response, without ``data`` if the request was not executed."""
        if result.errors:
            result.errors = [translate(error) for error in result.errors]
        if result.data is None:
            # The response has no data, so fetched records are not delivered.
            await current().give_back()
        response = await super().process_result(request, result)
        if result.data is None and all(error.path is None for error in result.errors or ()):
            response.pop("data", None)
        current().withdraw(response)
        if response.get("data") is not None:
            response["data"] = msgspec.Raw(await encode_in_pieces(response["data"]))  # type: ignore[typeddict-item]
        return response

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """Return a response of the negotiated type. With the newer type, the status tells whether it was executed."""
        media_type = sub_response.media_type or JSON
        executed = isinstance(response_data, list) or "data" in response_data
        status = 200 if executed or media_type != RESPONSE else 400
        return _json_response(response_data, status, media_type)


def _bounded(read: Read, limit: int) -> Read:
    """Wrap ``read`` to limit the size of the body."""
    taken = 0

    async def bounded() -> tuple[bytes, bool]:
        nonlocal taken
        body, more = await read()
        taken += len(body)
        if taken > limit:
            raise PayloadTooLarge
        return body, more

    return bounded


def _is_latin_1(request: Request) -> bool:
    """Return whether the body is in ISO-8859-1 instead of UTF-8."""
    parsed = parse_media_type(request.headers.get("content-type", ""))
    return parsed is not None and parsed.charset in LATIN_1


def _shown(error: FacadeError) -> GraphQLFormattedError:
    code = Code.BAD_REQUEST if type(error) is MalformedBody else None
    return GraphQLError(error.message, extensions=extensions_of(error, code)).formatted


def _error_response(error: FacadeError, request: Request) -> Response:
    response = _json_response({"errors": [_shown(error)]}, error.codes.status, json_type(request.headers.get("accept")))
    if isinstance(error, MethodNotAllowed):
        response.headers["allow"] = _METHODS
    return response


def _json_response(data: object, status: int, media_type: str) -> Response:
    return Response(msgspec.json.encode(data), status, media_type=f"{media_type}; charset=utf-8")
