"""One client for each face that runs any operation by its identifier and the core's request.

An answer is a resource as a dict with the core's names of fields, a list of such, or None. Each face shows the fields
that it has: links stand for the others in REST and GraphQL.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol, get_args, get_origin, get_type_hints
from urllib.parse import quote

import grpc
import httpx
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    build_client_schema,
    get_introspection_query,
    get_named_type,
    is_leaf_type,
)
from strawberry.utils.str_converters import to_camel_case

from kafka_facade.core.catalogue import CATALOGUE, Catalogue, Operation
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.request import Request, without_none
from kafka_facade.rpc.names import field_of
from kafka_facade.rpc.services import SERVICES

_PARAMETER: Final = re.compile(r"{(\w+)}")
# Fields that REST has in the query of all methods.
_IN_QUERY: Final = ("should_shutdown",)
# GraphQL's names of fields that have another one than the core's.
_OTHER_NAMES: Final = {"data": "acls", "topic": "topicName", "partition": "partitionId"}


class FaceError(Exception):
    """An operation failed, as the face said it: ``codes`` is what the face has to tell the kind of an error.

    ``field`` is the path of the field to blame, where the face says it.
    """

    def __init__(self, codes: tuple[Any, ...], message: str, field: str | None = None) -> None:
        super().__init__(codes, message, field)
        self.codes = codes
        self.message = message
        self.field = field


class Operations(Protocol):
    """A client of one face."""

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        """The codes of the face for this kind of error."""

    async def run(self, identifier: str, request: Request[Any]) -> Any:
        """Run an operation, and return its answer. Raises FaceError."""

    async def close(self) -> None: ...


def answer_of(request: type[Any]) -> Any:
    """The type of the answer of a request."""
    for kind in request.__mro__:
        for base in getattr(kind, "__orig_bases__", ()):
            if get_origin(base) is Request:
                return get_args(base)[0]
    raise LookupError(request)


def _values(value: Any, *, named: bool = False) -> Any:
    """The same with dicts for dataclasses and texts for enums: their values, or their names if ``named``."""
    if dataclasses.is_dataclass(value):
        return {field.name: _values(getattr(value, field.name), named=named) for field in dataclasses.fields(value)}
    if isinstance(value, list):
        return [_values(entry, named=named) for entry in value]
    if isinstance(value, Enum):
        return value.name if named else value.value
    return value


class RestOperations:
    """REST: v3, and v2 for operations whose bodies have the core's names."""

    def __init__(self, url: str, catalogue: Catalogue = CATALOGUE) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60)
        self._catalogue = catalogue

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (kind.codes.status, kind.codes.v2 if v2 else kind.codes.v3)

    async def run(self, identifier: str, request: Request[Any]) -> Any:
        given = _values(request)
        row = self._row(identifier, given)
        path = row.path.format_map({name: quote(str(value), safe="") for name, value in given.items()})
        others = {
            name: value
            for name, value in given.items()
            if name not in _PARAMETER.findall(row.path) and value is not None
        }
        media_type = "application/json" if row.path.startswith("/v3/") else "application/vnd.kafka.v2+json"
        headers = {"content-type": media_type, "accept": media_type}
        without_body = row.method in ("GET", "DELETE")
        params = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in others.items()
            if name in _IN_QUERY or (without_body and value)
        }
        if without_body:
            response = await self._http.request(row.method, path, params=params, headers=headers)
        else:
            # v2 has no body if no values are given.
            body = others if others or row.path.startswith("/v3/") else None
            body = body and {name: value for name, value in body.items() if name not in params}
            response = await self._http.request(row.method, path, params=params, json=body, headers=headers)
        found: Any = response.json() if response.content else None
        # A list of results has the status of the first that failed.
        if response.status_code >= 400 and "data" not in found:
            raise FaceError((response.status_code, found["error_code"]), found["message"])
        if isinstance(found, dict) and "data" in found:
            return [self._shown(entry) for entry in found["data"]]
        return self._shown(found)

    def _row(self, identifier: str, given: Mapping[str, Any]) -> Operation:
        """The row whose path has all that is given and can be there."""
        rows = [row for row in self._catalogue.operations if row.identifier == identifier]
        filled = [row for row in rows if all(given.get(name) is not None for name in _PARAMETER.findall(row.path))]
        return max(filled, key=lambda row: len(_PARAMETER.findall(row.path)))

    def _shown(self, found: Any) -> Any:
        if not isinstance(found, dict):
            return found
        hidden = {name for name, value in found.items() if isinstance(value, dict) and value.keys() == {"related"}}
        return {name: value for name, value in found.items() if name not in hidden | {"kind", "metadata"}}

    async def close(self) -> None:
        await self._http.aclose()


def grpc_error(status: Status) -> FaceError:
    """Convert a status to an error."""
    info, blamed = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(blamed)
    field = blamed.field_violations[0].field if blamed.field_violations else None
    return FaceError((status.code, info.reason, int(info.metadata["error_code"])), status.message, field)


class GrpcOperations:
    """gRPC."""

    def __init__(
        self, address: str, catalogue: Catalogue = CATALOGUE, services: Sequence[ServiceDescriptor] = SERVICES
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._catalogue = catalogue
        self._services = {service.name: service for service in services}

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (getattr(grpc.StatusCode, kind.codes.grpc).value[0], kind.reason, kind.codes.v3)

    async def run(self, identifier: str, request: Request[Any]) -> Any:
        row = self._row(identifier, request)
        service = self._services[row.grpc_service]
        method = service.methods_by_name[row.grpc_method]
        asked, answered = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call: Any = self._channel.unary_unary(
            f"/{service.full_name}/{method.name}", asked.SerializeToString, answered.FromString
        )
        message: Any = asked()
        _fill(message, _values(request, named=True))
        found = await self._call(call, message)
        if get_origin(answer_of(type(request))) not in (list, Sequence):
            return _fields(found) or None
        if not answered.DESCRIPTOR.fields:
            return None
        entries = list(_items(found))
        while getattr(found, "next_page_token", ""):
            message.page_token = found.next_page_token
            found = await self._call(call, message)
            entries += _items(found)
        return entries

    def _row(self, identifier: str, request: Request[Any]) -> Operation:
        """The row of the method that takes most of what is given."""
        rows = [row for row in self._catalogue.all if row.identifier == identifier]

        def taken(row: Operation) -> int:
            message = self._services[row.grpc_service].methods_by_name[row.grpc_method].input_type
            given = [name for name, value in _values(request).items() if value is not None]
            return sum(field_of(message, name) is not None for name in given)

        return max(rows, key=taken)

    async def _call(self, call: Any, message: Any) -> Any:
        try:
            return await call(message)
        except grpc.aio.AioRpcError as failure:
            details = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
            assert isinstance(details, bytes)
            raise grpc_error(Status.FromString(details)) from failure

    async def close(self) -> None:
        await self._channel.close()


def _items(response: Any) -> list[Any]:
    field = response.DESCRIPTOR.fields_by_number[1]
    return [_value(field, entry) for entry in getattr(response, field.name)]


def _fill(message: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        field = field_of(message.DESCRIPTOR, name)
        if field is None or value is None:
            continue
        of: Any = field.message_type
        if of is not None and of.GetOptions().map_entry:
            for key, entries in value.items():
                [inner] = of.fields_by_name["value"].message_type.fields
                getattr(getattr(message, field.name)[key], inner.name).extend(entries)
        elif field.is_repeated and field.message_type is not None:
            for entry in value:
                _fill(getattr(message, field.name).add(), entry)
        elif field.is_repeated:
            getattr(message, field.name).extend(value)
        elif field.enum_type is not None:
            setattr(message, field.name, field.enum_type.values_by_name[_prefix(field) + value].number)
        else:
            setattr(message, field.name, value)


def _fields(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            found[field.name] = [_value(field, entry) for entry in value]
        elif field.has_presence and not message.HasField(field.name):
            found[field.name] = None
        else:
            found[field.name] = _value(field, value)
    return found


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.removeprefix(_prefix(field))
    return value if field.message_type is None else _fields(value)


def _prefix(field: FieldDescriptor) -> str:
    enum: Any = field.enum_type
    return str(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))


def graphql_error(error: Mapping[str, Any]) -> FaceError:
    """Convert an entry of ``errors`` to an error."""
    extensions = error.get("extensions") or {}
    return FaceError((extensions.get("code"), extensions.get("errorCode")), error["message"], extensions.get("field"))


class GraphQLOperations:
    """GraphQL: the field of an operation, with what its parents need."""

    def __init__(self, url: str, catalogue: Catalogue = CATALOGUE) -> None:
        self._http = httpx.AsyncClient(timeout=60)
        self._url = url
        self._catalogue = catalogue
        self._schema: GraphQLSchema | None = None

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (kind.reason, kind.codes.v3)

    async def execute(self, document: str, **variables: Any) -> Any:
        """Execute a document and return its data. Raises FaceError."""
        answer = await self._http.post(self._url, json={"query": document, "variables": variables})
        said = answer.json()
        if said.get("errors"):
            [error] = said["errors"]
            raise graphql_error(error)
        return said["data"]

    async def run(self, identifier: str, request: Request[Any]) -> Any:
        if self._schema is None:
            self._schema = build_client_schema(await self.execute(get_introspection_query()))
        rows = [row for row in self._catalogue.all if row.identifier == identifier]
        row = max(rows, key=lambda row: sum(_values(request).get(n) is not None for n in _PARAMETER.findall(row.path)))
        answer = answer_of(type(request))
        [kind] = get_args(answer) or (answer,)
        if row.graphql_type == "mutation":
            return await self._mutate(self._schema, row.graphql_field, request, kind)
        return await self._read(self._schema, row.graphql_field, request, kind)

    async def _read(self, schema: GraphQLSchema, path: str, request: Request[Any], kind: Any) -> Any:
        given = {to_camel_case(name): value for name, value in _values(request, named=True).items()}
        at: Any = schema.query_type
        declared: list[str] = []
        variables: dict[str, Any] = {}
        taken: list[str] = []
        opened = ""
        for name in path.split("."):
            if name not in at.fields:
                at = get_named_type(at.fields["nodes"].type)
                opened += "nodes { "
                taken.append("nodes")
            field = at.fields[name]
            arguments = {argument: given[argument] for argument in field.args if given.get(argument) is not None}
            if "first" in field.args:
                arguments["first"] = 1000
            declared += [f"${argument}: {field.args[argument].type}" for argument in arguments]
            variables |= arguments
            passed = ", ".join(f"{argument}: ${argument}" for argument in arguments)
            opened += f"{name}({passed}) {{ " if passed else f"{name} {{ "
            taken.append(name)
            at = get_named_type(field.type)
        assert isinstance(at, GraphQLObjectType)
        if "nodes" in at.fields:
            at = get_named_type(at.fields["nodes"].type)
            opened += "nodes { "
            taken.append("nodes")
        assert isinstance(at, GraphQLObjectType)
        head = f"query({', '.join(declared)}) " if declared else ""
        found = await self.execute(f"{head}{{ {opened}{_selection(at, kind)}{' }' * (len(taken) + 1)}", **variables)
        for name in taken:
            found = found[name]
        return _shown(found)

    async def _mutate(self, schema: GraphQLSchema, name: str, request: Request[Any], kind: Any) -> Any:
        assert schema.mutation_type is not None
        field = schema.mutation_type.fields[name]
        payload, given = get_named_type(field.type), get_named_type(field.args["input"].type)
        assert isinstance(payload, GraphQLObjectType)
        assert isinstance(given, GraphQLInputObjectType)
        # Select the links of the payload too: all of them must resolve.
        parts = ["__typename"]
        shown = None
        for own, entry in payload.fields.items():
            of = get_named_type(entry.type)
            if not isinstance(of, GraphQLObjectType):
                parts.append(own)
            elif of.name == getattr(kind, "__name__", ""):
                shown = own
                parts.append(f"{own} {{ {_selection(of, kind)} }}")
            else:
                parts.append(f"{own} {{ {_leaves(of)} }}")
        document = f"mutation($input: {given.name}!) {{ {name}(input: $input) {{ {' '.join(parts)} }} }}"
        found = await self.execute(document, input=_input(given, _values(request, named=True)))
        return None if shown is None else _shown(found[name][shown])

    async def close(self) -> None:
        await self._http.aclose()


def _input(kind: GraphQLInputObjectType, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        own = to_camel_case(name)
        if own not in kind.fields:
            own = _OTHER_NAMES[name]
        of = get_named_type(kind.fields[own].type)
        if isinstance(value, dict):
            # GraphQL has no maps, but lists of pairs.
            assert isinstance(of, GraphQLInputObjectType)
            value = [dict(zip(of.fields, pair, strict=True)) for pair in value.items()]
        elif isinstance(value, list) and isinstance(of, GraphQLInputObjectType):
            value = [_input(of, entry) for entry in value]
        if value is not None:
            found[own] = value
    return found


def _leaves(kind: GraphQLObjectType) -> str:
    """All values of a type, without placeholders."""
    return " ".join(
        name
        for name, field in kind.fields.items()
        if is_leaf_type(get_named_type(field.type)) and not (field.description or "").startswith("Not implemented")
    )


def _selection(kind: GraphQLObjectType, core: Any) -> str:
    """The fields of a type that the core's resource has as values of its own."""
    parts = []
    hints = get_type_hints(core)
    for name, hint in hints.items():
        field = kind.fields.get(to_camel_case(name))
        # What is decoded when it is needed is no value.
        if field is None or field.args or get_origin(hint) is Callable:
            continue
        of = get_named_type(field.type)
        if is_leaf_type(of):
            parts.append(to_camel_case(name))
        elif isinstance(of, GraphQLObjectType) and "id" not in of.fields:
            [inner] = get_args(without_none(hint)[0]) or (hint,)
            parts.append(f"{to_camel_case(name)} {{ {_selection(of, inner)} }}")
    return " ".join(parts)


def _shown(found: Any) -> Any:
    """The same with the core's names."""
    if isinstance(found, list):
        return [_shown(entry) for entry in found]
    if not isinstance(found, dict):
        return found
    return {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name): _shown(v) for name, v in found.items()}
