"""The HTTP side of the registry: routes, parameters and the error body `{"error_code", "message"}`."""

import json
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kafka_facade_devstack.registry import errors
from kafka_facade_devstack.registry.errors import RegistryError
from kafka_facade_devstack.registry.model import TYPES
from kafka_facade_devstack.registry.store import LEVELS, MODES, Store

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


def create_app(store: Store) -> Starlette:
    """The ASGI application over a loaded store."""
    api = _Api(store)
    subject, version = "/subjects/{subject}", "/subjects/{subject}/versions/{version}"
    get, post, put, delete = ["GET"], ["POST"], ["PUT"], ["DELETE"]
    routes = [
        Route("/", api.root, methods=get),
        Route("/contexts", api.contexts, methods=get),
        Route("/schemas", api.schemas, methods=get),
        Route("/schemas/types", api.types, methods=get),
        Route("/schemas/ids/{id}", api.schema, methods=get),
        Route("/schemas/ids/{id}/schema", api.schema_text, methods=get),
        Route("/schemas/ids/{id}/subjects", api.schema_subjects, methods=get),
        Route("/schemas/ids/{id}/versions", api.schema_versions, methods=get),
        Route("/subjects", api.subjects, methods=get),
        Route(subject, api.lookup, methods=post),
        Route(subject, api.delete_subject, methods=delete),
        Route(f"{subject}/versions", api.versions, methods=get),
        Route(f"{subject}/versions", api.register, methods=post),
        Route(version, api.version, methods=get),
        Route(version, api.delete_version, methods=delete),
        Route(f"{version}/schema", api.version_text, methods=get),
        Route(f"{version}/referencedby", api.referenced_by, methods=get),
        Route("/compatibility/subjects/{subject}/versions", api.compatible, methods=post),
        Route("/compatibility/subjects/{subject}/versions/{version}", api.compatible, methods=post),
    ]
    for path in ("/config", "/config/{subject}"):
        routes += [
            Route(path, api.config, methods=get),
            Route(path, api.set_config, methods=put),
            Route(path, api.clear_config, methods=delete),
        ]
    for path in ("/mode", "/mode/{subject}"):
        routes += [Route(path, api.mode, methods=get), Route(path, api.set_mode, methods=put)]
    routes.append(Route("/mode/{subject}", api.clear_mode, methods=delete))
    handlers: dict[Any, Any] = {RegistryError: _on_error, HTTPException: _on_http_error}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Api:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = store.state

    async def root(self, _: Request) -> Response:
        return _json({})

    async def contexts(self, _: Request) -> Response:
        return _json(["."])

    async def types(self, _: Request) -> Response:
        return _json(list(TYPES))

    async def schemas(self, request: Request) -> Response:
        prefix, deleted = request.query_params.get("subjectPrefix", ""), _flag(request, "deleted")
        found = [
            version
            for version in self._state.versions()
            if version.subject.startswith(prefix) and (deleted or not version.deleted)
        ]
        if _flag(request, "latestOnly"):
            found = list({each.subject: each for each in sorted(found, key=lambda each: each.version)}.values())
        return _json([each.document() for each in sorted(found, key=lambda each: (each.subject, each.version))])

    async def schema(self, request: Request) -> Response:
        return _json(self._state.by_id(_id(request)).document())

    async def schema_text(self, request: Request) -> Response:
        return _text(self._state.by_id(_id(request)).text)

    async def schema_subjects(self, request: Request) -> Response:
        return _json(sorted({version.subject for version in self._of_id(request)}))

    async def schema_versions(self, request: Request) -> Response:
        return _json([{"subject": each.subject, "version": each.version} for each in self._of_id(request)])

    def _of_id(self, request: Request) -> list[Any]:
        id_, deleted = _id(request), _flag(request, "deleted")
        self._state.by_id(id_)
        return [each for each in self._state.versions() if each.id == id_ and (deleted or not each.deleted)]

    async def subjects(self, request: Request) -> Response:
        prefix, deleted = request.query_params.get("subjectPrefix", ""), _flag(request, "deleted")
        found = {each.subject for each in self._state.versions() if deleted or not each.deleted}
        return _json(sorted(subject for subject in found if subject.startswith(prefix)))

    async def lookup(self, request: Request) -> Response:
        version = self._store.lookup(_subject(request), await _body(request), deleted=_flag(request, "deleted"))
        return _json(version.document())

    async def delete_subject(self, request: Request) -> Response:
        return _json(await self._store.delete_subject(_subject(request), permanent=_flag(request, "permanent")))

    async def versions(self, request: Request) -> Response:
        return _json(list(self._state.of_subject(_subject(request), deleted=_flag(request, "deleted"))))

    async def register(self, request: Request) -> Response:
        return _json({"id": await self._store.register(_subject(request), await _body(request))})

    async def version(self, request: Request) -> Response:
        return _json(self._version(request).document())

    async def version_text(self, request: Request) -> Response:
        return _text(self._version(request).schema.text)

    async def referenced_by(self, request: Request) -> Response:
        return _json(self._state.referring(self._version(request)))

    def _version(self, request: Request) -> Any:
        wanted = request.path_params["version"]
        return self._state.version(_subject(request), wanted, deleted=_flag(request, "deleted"))

    async def delete_version(self, request: Request) -> Response:
        subject, wanted = _subject(request), request.path_params["version"]
        return _json(await self._store.delete_version(subject, wanted, permanent=_flag(request, "permanent")))

    async def compatible(self, request: Request) -> Response:
        if "version" in request.path_params:
            self._version(request)
        self._state.parse(await _body(request))
        return _json({"is_compatible": True})

    async def config(self, request: Request) -> Response:
        subject = request.path_params.get("subject")
        level = self._state.compatibility.get(subject)
        if level is None and subject is not None and not _flag(request, "defaultToGlobal"):
            raise errors.no_subject_config(subject)
        return _json({"compatibilityLevel": level or self._state.compatibility.get(None, LEVELS[1])})

    async def set_config(self, request: Request) -> Response:
        level = _member(await _body(request), "compatibility").upper()
        await self._store.set_compatibility(request.path_params.get("subject"), level)
        return _json({"compatibility": level})

    async def clear_config(self, request: Request) -> Response:
        level = await self._store.clear_compatibility(request.path_params.get("subject"))
        return _json({"compatibilityLevel": level})

    async def mode(self, request: Request) -> Response:
        subject = request.path_params.get("subject")
        mode = self._state.modes.get(subject)
        if mode is None and subject is not None and not _flag(request, "defaultToGlobal"):
            raise errors.no_subject_mode(subject)
        return _json({"mode": mode or self._state.modes.get(None, MODES[0])})

    async def set_mode(self, request: Request) -> Response:
        mode = _member(await _body(request), "mode").upper()
        await self._store.set_mode(request.path_params.get("subject"), mode)
        return _json({"mode": mode})

    async def clear_mode(self, request: Request) -> Response:
        return _json({"mode": await self._store.clear_mode(_subject(request))})


def _json(document: Any, status: int = 200) -> Response:
    return _text(json.dumps(document, separators=(",", ":"), ensure_ascii=False), status)


def _text(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type=CONTENT_TYPE)


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _subject(request: Request) -> str:
    return str(request.path_params["subject"])


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not text.isdecimal():
        raise RegistryError(404, "HTTP 404 Not Found")
    return int(text)


async def _body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise RegistryError(400, f"Unable to parse the request body: {error}") from error


def _member(document: Any, name: str) -> str:
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RegistryError)
    return _json({"error_code": error.code, "message": str(error)}, error.status)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    document = {"error_code": error.status_code, "message": f"HTTP {error.status_code} {error.detail}"}
    return _json(document, error.status_code)
