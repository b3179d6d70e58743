"""Routing of paths to operations, with a tree built from the path templates of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.errors import InvalidRequest, NotFound
from kafka_facade.rest.negotiation import Contract, contract_for
from kafka_facade.web.cached import cached

_V3_PREFIX = "/kafka"
_CACHED_PATHS = 1024


@dataclass(slots=True)
class Endpoint:
    """A path template with its methods. ``version`` is the version of the API."""

    template: str
    version: int
    operations: dict[str, list[Operation]] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """An endpoint that matches a path, with its path parameters; ``prefix`` is the part before ``/v3``."""

    endpoint: Endpoint
    parameters: Mapping[str, str]
    prefix: str


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    # Children for ``{name}:verb``, by ``:verb``.
    suffixes: dict[str, tuple[str, _Node]] = field(default_factory=dict)
    parameters: dict[str, _Node] = field(default_factory=dict)
    endpoint: Endpoint | None = None

    def child(self, segment: str) -> _Node:
        """Return the node for a segment of a template, creating it if necessary."""
        if not segment.startswith("{"):
            return self.literals.setdefault(segment, _Node())
        name, _, suffix = segment[1:].partition("}")
        if suffix:
            return self.suffixes.setdefault(suffix, (name, _Node()))[1]
        return self.parameters.setdefault(name, _Node())

    def search(
        self, segments: list[str], index: int, found: dict[str, str]
    ) -> Iterator[tuple[Endpoint, dict[str, str]]]:
        """Yield all endpoints that match the remaining segments, the most literal first."""
        if index == len(segments):
            if self.endpoint is not None:
                yield self.endpoint, found
            return
        segment = segments[index]
        if segment in self.literals:
            yield from self.literals[segment].search(segments, index + 1, found)
        for suffix, (name, node) in self.suffixes.items():
            if segment.endswith(suffix) and len(segment) > len(suffix):
                yield from node.search(segments, index + 1, {**found, name: segment.removesuffix(suffix)})
        for name, node in self.parameters.items():
            yield from node.search(segments, index + 1, {**found, name: segment})


class Router:
    """Finds the endpoints for a path. ``/kafka/v3`` is an alias of ``/v3``."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        endpoints = {id(endpoint): endpoint for endpoint in map(self._add, operations)}
        for endpoint in endpoints.values():
            for method, sharing in endpoint.operations.items():
                endpoint.contracts[method] = contract_for(sharing)
        self.find = cached(_CACHED_PATHS)(self._find)

    def _add(self, operation: Operation) -> Endpoint:
        node = self._root
        for segment in operation.path.strip("/").split("/") if operation.path != "/" else ():
            node = node.child(segment)
        if node.endpoint is None:
            node.endpoint = Endpoint(operation.path, 3 if operation.identifier.startswith("api.v3.") else 2)
        node.endpoint.operations.setdefault(operation.method, []).append(operation)
        return node.endpoint

    def _find(self, raw_path: str) -> tuple[Match, ...]:
        """Return the endpoints that match a percent-encoded path, best first. Raises NotFound or InvalidRequest."""
        segments = [_decode(segment) for segment in _split(raw_path)]
        prefix = ""
        if segments[:2] == ["kafka", "v3"]:
            prefix = _V3_PREFIX
            del segments[0]
        found = tuple(
            Match(endpoint, parameters, prefix) for endpoint, parameters in self._root.search(segments, 0, {})
        )
        if not found:
            raise NotFound
        return found


def _split(raw_path: str) -> list[str]:
    """Split a path into segments, resolving dot segments (RFC 3986, 5.2.4) and ignoring a trailing slash."""
    if "//" in raw_path:
        raise InvalidRequest("Ambiguous URI: a path segment is empty.")
    segments: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            if not segments:
                raise InvalidRequest("Bad URI: the path leads out of the root.")
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return segments


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("Bad URI: the path isn't UTF-8.") from None
