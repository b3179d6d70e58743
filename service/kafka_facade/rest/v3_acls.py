"""v3: access control lists (reference: "ACL (v3)")."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, TypeVar

from kafka_facade.core.acls.model import (
    AclBinding,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
    BatchCreateAcls,
    CreateAcl,
    DeleteAcls,
    ListAcls,
)
from kafka_facade.core.errors import InvalidPayload, InvalidRequest
from kafka_facade.core.links import ACL
from kafka_facade.core.quoting import quote
from kafka_facade.rest.bodies import BodyDecoder, StrictBody
from kafka_facade.rest.encoding import encode_array
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.request_bodies import RequestBody, body_type, converter
from kafka_facade.rest.v3_responses import long_list_response

_Choice = TypeVar("_Choice", bound=Enum)

_NO_TYPE: Final = ""


_acl = RequestBody(CreateAcl, ("cluster_id",))
_entry = body_type(AclBinding)
_binding = converter(AclBinding)


class V3Acls(StrictBody):
    """ACLs to create; a missing ``data`` has its own error code."""

    data: list[_entry] | None = None  # type: ignore[valid-type]


_acls = BodyDecoder(V3Acls)


@route("api.v3.acls.list")
async def list_acls(exchange: Exchange) -> Response | None:
    """The ACLs that match the query."""
    request = ListAcls(exchange.parameters["cluster_id"], **_filter(exchange))
    return await long_list_response(exchange, ACL, await exchange.run(request), f"?{ACL.query_of(request)}")


@route("api.v3.acls.create")
async def create_acl(exchange: Exchange) -> Response:
    """Create an ACL, and return its location."""
    request = CreateAcl(cluster_id=exchange.parameters["cluster_id"], **_acl.read(await exchange.body()))
    created = await exchange.run(request)
    location = exchange.base + ACL.self_path(created)
    return Response(201, headers=[(b"location", location.encode())], content_type=_NO_TYPE)


@route("api.v3.acls.batch-create")
async def create_acls(exchange: Exchange) -> Response:
    """Create several ACLs."""
    body = _acls.required(await exchange.body())
    if body.data is None:
        raise InvalidPayload("Payload error. Empty input provided. Data is required.", field="data")
    request = BatchCreateAcls(exchange.parameters["cluster_id"], list(map(_binding, body.data)))
    await exchange.run(request)
    return Response(201, content_type=_NO_TYPE)


@route("api.v3.acls.delete")
async def delete_acls(exchange: Exchange) -> Response:
    """Delete the ACLs that match the query, and return them."""
    request = DeleteAcls(exchange.parameters["cluster_id"], **_filter(exchange))
    deleted = await exchange.run(request)
    return Response(body=await encode_array(deleted, exchange.document_maker(), b'{"data":', b"}"))


def _filter(exchange: Exchange) -> dict[str, Any]:
    """Return the filter in the query."""
    given = {
        "resource_type": _choice(exchange, "resource_type", AclResourceType, "ResourceType"),
        "resource_name": exchange.query("resource_name"),
        "pattern_type": _choice(exchange, "pattern_type", AclPatternType, "PatternType"),
        "principal": exchange.query("principal"),
        "host": exchange.query("host"),
        "operation": _choice(exchange, "operation", AclOperation, "Operation"),
        "permission": _choice(exchange, "permission", AclPermission, "Permission"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _choice(exchange: Exchange, name: str, kind: type[_Choice], shown: str) -> _Choice | None:
    """Return an enum parameter, case-insensitively; None if it is absent."""
    text = exchange.query(name)
    if text is None:
        return None
    value = kind.__members__.get(text.upper())
    if value is None:
        raise InvalidRequest(f"The valid values for {shown} do not include '{quote(text)}'", field=name)
    return value
