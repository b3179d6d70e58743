"""v3 handlers derived from an operation's path, request type and answer type.

Fields of the request come from the path, and all others from the body (:mod:`.request_bodies`); for methods without a
body, flags come from the query. The response is one resource, a list of resources, or empty. Other operations have
handlers of their own (:func:`kafka_facade.rest.handlers.route`): those with another status or response, a filter in the
query, or a stream.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args, get_origin, get_type_hints

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.registry import Implementation, Registry
from kafka_facade.rest.documents import Documents
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import HANDLERS, Handler
from kafka_facade.rest.request_bodies import RequestBody
from kafka_facade.rest.v3_responses import long_list_response, resource_response

_Field = Callable[[Exchange], Any]
_PARAMETER: Final = re.compile(r"{(\w+)}")
_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_TRUE: Final = "true"


def all_handlers(operations: Sequence[Operation], registry: Registry, documents: Documents) -> dict[str, Handler]:
    """Return the handlers of the implemented operations. Raises LookupError if one cannot be derived."""
    rows: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.identifier in registry:
            rows.setdefault(operation.identifier, []).append(operation)
    return {
        identifier: HANDLERS.get(identifier) or regular(same, registry.implementation(identifier), documents)
        for identifier, same in rows.items()
    }


def regular(rows: Sequence[Operation], implementation: Implementation, documents: Documents) -> Handler:
    """Derive the handler of an operation, which may have several paths.

    Raises LookupError if a field of its request has no source.
    """
    request = implementation.request
    in_path = [name for row in rows for name in _PARAMETER.findall(row.path)]
    body = RequestBody(request, in_path) if rows[0].method in _WITH_BODY else None
    if body is not None and not body.fields:
        body = None
    try:
        fields = _fields(request, in_path, () if body is None else body.fields)
    except LookupError as error:
        raise LookupError(f"{rows[0].identifier}: {error}") from None

    async def run(exchange: Exchange) -> Any:
        values = {name: read(exchange) for name, read in fields.items()}
        if body is not None:
            values |= body.read(await exchange.body())
        return await exchange.run(request(**values))

    if implementation.answer is type(None):

        async def answer_nothing(exchange: Exchange) -> Response:
            await run(exchange)
            return NO_CONTENT

        return answer_nothing
    if get_origin(implementation.answer) in (list, Sequence):
        kind = documents.kind(get_args(implementation.answer)[0])

        async def answer_list(exchange: Exchange) -> Response | None:
            return await long_list_response(exchange, kind, await run(exchange))

        return answer_list

    async def answer_resource(exchange: Exchange) -> Response:
        return resource_response(exchange, await run(exchange))

    return answer_resource


def _fields(request: type[Any], in_path: Sequence[str], in_body: Sequence[str]) -> dict[str, _Field]:
    hints = get_type_hints(request)
    fields: dict[str, _Field] = {}
    for entry in dataclasses.fields(request):
        optional = entry.default is not dataclasses.MISSING
        if entry.name in in_body:
            continue
        if entry.name in in_path:
            fields[entry.name] = _integer(entry.name) if hints[entry.name] is int else _text(entry.name)
        elif optional and hints[entry.name] is bool:
            fields[entry.name] = _flag(entry.name)
        else:
            raise LookupError(f"{entry.name} is neither in the path nor in the body")
    return fields


def _text(name: str) -> _Field:
    return lambda exchange: exchange.parameters.get(name)


def _integer(name: str) -> _Field:
    return lambda exchange: exchange.integer(name)


def _flag(name: str) -> _Field:
    return lambda exchange: (exchange.query(name) or "").lower() == _TRUE
