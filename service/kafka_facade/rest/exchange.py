"""One HTTP request and its response, as a handler sees them."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import Struct

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.core import Core
from kafka_facade.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from kafka_facade.core.links import path_segment
from kafka_facade.core.records.decoding_budget import structure_weight
from kafka_facade.core.request import Answer, Request
from kafka_facade.core.reservation import Reservation
from kafka_facade.rest.body_parts import BodyParts
from kafka_facade.rest.connection import Connection
from kafka_facade.rest.documents import Documents
from kafka_facade.rest.options import RestOptions
from kafka_facade.rest.origin import origin
from kafka_facade.web.body import Read

CALLER: Final = Caller("rest")

# The memory of smaller bodies does not matter.
_FEW_BYTES: Final = 2 * 1024
# A body takes about twice the bytes of its text, and four times the weight of its structure.
_TEXT: Final = 2
_STRUCTURE: Final = 4

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)


class Response(Struct):
    """A complete response. A ``content_type`` of None is the negotiated type, an empty one omits the header."""

    status: int = 200
    body: bytes | bytearray = b""
    headers: list[tuple[bytes, bytes]] = []
    content_type: str | None = None


NO_CONTENT: Final = Response(204)


class Exchange(Struct):
    """A request as passed to a handler.

    ``read`` returns the body part by part, decompressed and in UTF-8. ``parameters`` are the decoded path parameters.
    The memory of a body is taken from the reservation.
    """

    core: Core
    options: RestOptions
    documents: Documents
    connection: Connection
    read: Read
    call: Call
    reservation: Reservation
    parameters: Mapping[str, str]
    prefix: str
    template: str
    version: int
    media_type: str

    def renewed_call(self) -> Call:
        """Return the call of the request with a new deadline."""
        return self.core.pipeline.renewed(self.call)

    async def run(self, request: Request[Answer]) -> Answer:
        """Run the operation with a new deadline, because the request body may have taken long to arrive."""
        return await self.core.perform(self.renewed_call(), request)

    async def body(self) -> bytes:
        """Read the body without a byte order mark (RFC 8259, 8.1).

        Raises PayloadTooLarge, ClientDisconnected, and TooManyRequests if a large one must wait for too long.
        """
        body = await self._body()
        if len(body) > _FEW_BYTES:
            await self.reservation.resize(_TEXT * len(body) + _STRUCTURE * await structure_weight(body))
        return body

    async def _body(self) -> bytes:
        limit = self.options.max_body_bytes
        length = self.connection.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise PayloadTooLarge(f"The body is longer than {limit} bytes.")
        chunk, more = await self.read()
        if not more and len(chunk) <= limit:
            return chunk.removeprefix(BOM_UTF8)
        parts = BodyParts()
        parts.add(chunk)
        while more and parts.size <= limit:
            chunk, more = await self.read()
            parts.add(chunk)
        if parts.size > limit:
            raise PayloadTooLarge(f"The body is longer than {limit} bytes.")
        return await parts.joined()

    def integer(self, name: str) -> int:
        """Return a path parameter as a number. If it is invalid, raises InvalidRequest in v3 and NotFound in v2."""
        return self._integer(name, self.parameters[name], -(2**31), 2**31 - 1)

    def query(self, name: str) -> str | None:
        """The first value of a query parameter."""
        query = self.connection.query
        if not query:
            return None
        try:
            values = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000).get(name)
        except ValueError:
            raise InvalidRequest("The query has too many parameters.") from None
        return values[0] if values else None

    def query_integer(self, name: str) -> int | None:
        """Return a query parameter as a number, with the errors of :meth:`integer`."""
        value = self.query(name)
        return None if value is None else self._integer(name, value, -(2**63), 2**63 - 1)

    def _integer(self, name: str, value: str, lowest: int, highest: int) -> int:
        if _INTEGER.match(value) and lowest <= int(value) <= highest:
            return int(value)
        if self.version == 2:
            raise NotFound
        raise InvalidRequest(f"The parameter {name} must be a whole number.", field=name)

    @property
    def origin(self) -> str:
        """Scheme, host and port in links, such as ``http://localhost:8082``."""
        return origin(self.connection, self.options)

    @property
    def base(self) -> str:
        """The base URL of v3 resources, such as ``http://localhost:8082/v3``."""
        return f"{self.origin}{self.prefix}/v3"

    def document_maker(self) -> Callable[[object], dict[str, Any]]:
        """Return a function that makes the documents of resources."""
        document, base, authority = self.documents.document, self.base, self.options.resource_name_authority
        return lambda resource: document(resource, base, authority)

    @property
    def url(self) -> str:
        """The requested URL without the query."""
        values = {name: path_segment(value) for name, value in self.parameters.items()}
        return f"{self.origin}{self.prefix}{self.template.format_map(values)}"
