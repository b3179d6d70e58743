"""The operations of v2 with a valid request for each: path parameters, body, media type."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import httpx

from kafka_facade.core.catalogue import OPERATIONS, Operation

V2: Final = "application/vnd.kafka.v2+json"
V2_OPERATIONS: Final = [row for row in OPERATIONS if row.identifier.startswith("api.v2.")]
FORMATS: Final = {
    "binary": "binary",
    "json": "json",
    "avro": "avro",
    "json-schema": "jsonschema",
    "protobuf": "protobuf",
}

PROTO: Final = 'syntax = "proto3"; message Text { string text = 1; }'
JSON_SCHEMA: Final = '{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}'
_DATA: Final[dict[str, tuple[str | None, Any]]] = {
    "binary": (None, "aGk="),
    "json": (None, {"text": "hi"}),
    "avro": ('"string"', "hi"),
    "json-schema": (JSON_SCHEMA, {"text": "hi"}),
    "protobuf": (PROTO, {"text": "hi"}),
}

_FORMAT_OF: Final = {
    f"api.v2.{what}{format}": format
    for what in ("consumers.consume-", "produce-to-topic.", "produce-to-partition.")
    for format in FORMATS
}


def media_type(format: str) -> str:
    """The v2 media type of an embedded format."""
    return f"application/vnd.kafka.{format}.v2+json"


def embedded_format(operation: Operation) -> str | None:
    """The embedded format of an operation, as identifiers spell it; None for one that embeds nothing."""
    name = operation.identifier.rpartition(".")[2].removeprefix("consume-")
    return (
        name if name in FORMATS and ("produce" in operation.identifier or "consume-" in operation.identifier) else None
    )


def operation_name(operation: Operation) -> str:
    """What stands for an operation in the name of a test."""
    return operation.identifier.removeprefix("api.v2.")


def parameters(operation: Operation) -> list[str]:
    """The names of the path's parameters."""
    return re.findall(r"\{(\w+)\}", operation.path)


def path(operation: Operation, **values: str) -> str:
    """The operation's path; what is not given stands for nothing that exists, but for partition 0."""
    usual = {name: "0" if name == "partition" else "no-such" for name in parameters(operation)}
    return operation.path.format_map(usual | values)


def body(operation: Operation, topic: str = "no-such") -> Any:
    """A right body, None for an operation without one."""
    where = {"topic": topic, "partition": 0}
    name = operation.identifier.rpartition(".")[2]
    if "produce-to-" in operation.identifier:
        schema, data = _DATA[name]
        schemas = {} if schema is None else {"key_schema": schema, "value_schema": schema}
        return {**schemas, "records": [{"key": data, "value": data, "partition": 0}]}
    return {
        "post": {},
        "create": {
            "name": "bad-input",
            "format": "json",
            "auto.offset.reset": "earliest",
            "auto.commit.enable": "false",
            "fetch.min.bytes": "1",
            "consumer.request.timeout.ms": "100",
        },
        "subscribe": {"topics": [topic]},
        "assign": {"partitions": [where]},
        "commit-offsets": {"offsets": [{**where, "offset": 0}]},
        "get-committed-offsets": {"partitions": [where]},
        "seek-to-offset": {"offsets": [{**where, "offset": 0}]},
        "seek-to-beginning": {"partitions": [where]},
        "seek-to-end": {"partitions": [where]},
    }.get(name)


async def send(
    client: httpx.AsyncClient,
    operation: Operation,
    url: str,
    content: Any = None,
    *,
    content_type: str | None = None,
    accept: str | None = None,
) -> httpx.Response:
    """Send a request for the operation: ``content`` are bytes, or what becomes JSON, None is no body."""
    format = embedded_format(operation)
    headers = {}
    if content is not None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        produced = format is not None and operation.method == "POST"
        headers["content-type"] = media_type(FORMATS[format]) if produced and format else V2
    if content_type is not None:
        headers["content-type"] = content_type
    if accept is None and operation.method == "GET" and format is not None:
        accept = media_type(FORMATS[format])
    if accept is not None:
        headers["accept"] = accept
    return await client.request(operation.method, url, headers=headers, content=content)


def error(response: httpx.Response) -> tuple[int, int]:
    """Status and code of an error, which must look like one."""
    found = response.json()
    assert list(found) == ["error_code", "message"], response.text
    assert found["message"]
    assert "Traceback" not in response.text
    return response.status_code, found["error_code"]
