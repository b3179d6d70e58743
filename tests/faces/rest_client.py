"""The operations through REST."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from faces.clients import FaceClient, Moving, Produced
from faces.generic import FaceError, RestOperations
from kafka_facade.core.errors import NotFound


class RestClient(RestOperations, FaceClient):
    """The REST face: v3, and v2 where only that has the operation."""

    shows_undecodable = False

    async def _call(self, method: str, path: str, body: Any = None, v2: str | None = None, **params: Any) -> Any:
        headers = {}
        if v2 is not None:
            headers = {"accept": v2, "content-type": "application/vnd.kafka.v2+json"}
        content = None if body is None else json.dumps(body)
        if body is not None and v2 is None:
            headers["content-type"] = "application/json"
        answer = await self._http.request(method, path, content=content, headers=headers, params=params)
        if answer.status_code >= 400:
            said = answer.json()
            raise FaceError((answer.status_code, said["error_code"]), said["message"])
        return answer.json() if answer.content else None

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/partitions")
        return [self._partition(entry) for entry in found["data"]]

    def _partition(self, found: dict[str, Any]) -> tuple[int, int]:
        return (found["partition_id"], int(found["leader"]["related"].rsplit("/", 1)[1]))

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        return self._partition(await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/partitions/{partition}"))

    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]:
        body = self._record(record)
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/{topic}/records", body)
        if found["error_code"] != 200:
            # An error of a record is in the document of an HTTP 200, only with its code.
            raise FaceError((None, found["error_code"]), found["message"])
        return (found["partition_id"], found["offset"])

    async def create_consumer(self, group: str, name: str, **settings: str) -> str:
        keys = {
            "format": "format",
            "auto_offset_reset": "auto.offset.reset",
            "auto_commit": "auto.commit.enable",
            "request_timeout_ms": "consumer.request.timeout.ms",
        }
        body = {"name": name, **{keys[key]: value for key, value in settings.items()}}
        body["format"] = body.get("format", "BINARY").lower()
        return str((await self._call("POST", f"/consumers/{group}", body, v2="*/*"))["instance_id"])

    def _instance(self, group: str, name: str) -> str:
        return f"/consumers/{group}/instances/{name}"

    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]:
        accept = f"application/vnd.kafka.{format.lower()}.v2+json"
        found = await self._call("GET", self._instance(group, name) + "/records", v2=accept, timeout=timeout_ms)
        return [
            (entry["offset"], *(self._decoded(format, entry[part]) for part in ("key", "value"))) for entry in found
        ]

    def _decoded(self, format: str, data: Any) -> Any:
        return base64.b64decode(data) if format == "BINARY" and data is not None else data

    async def commit(self, group: str, name: str, offsets: list[tuple[str, int, int]] | None = None) -> None:
        body = None if offsets is None else {"offsets": self._positions(offsets)}
        await self._call("POST", self._instance(group, name) + "/offsets", body, v2="*/*")

    def _positions(self, offsets: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
        return [dict(zip(("topic", "partition", "offset"), entry, strict=True)) for entry in offsets]

    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None:
        body = {"offsets": self._positions(offsets)}
        await self._call("POST", self._instance(group, name) + "/positions", body, v2="*/*")

    async def _group(self, cluster: str, group: str, rest: str = "") -> Any:
        return await self._call("GET", f"/v3/clusters/{cluster}/consumer-groups/{quote(group, safe='')}{rest}")

    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]:
        found = await self._group(cluster, group)
        shown = ("is_simple", "partition_assignor", "state", "type", "is_mixed_consumer_group")
        coordinator = int(found["coordinator"]["related"].rpartition("/")[2])
        return {name: found[name] for name in shown} | {"coordinator_id": coordinator}

    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        data = [{"topic_name": topic, "configs": configs} for topic, configs in changes.items()]
        body = {"data": data, "validate_only": validate_only}
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/-/configs:alter", body)
        failures = found["failures"] if found else []
        return [(entry["topic_name"], (entry["error_code"],), entry["message"]) for entry in failures]

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/brokers/-/configs")
        return [(entry["broker_id"], entry["name"]) for entry in found["data"]]

    async def not_served_yet(self, cluster: str) -> None:
        await self._call("GET", f"/v3/clusters/{cluster}/links")

    def _record(self, record: Produced) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, data in (("key", record.key), ("value", record.value)):
            if data is not None:
                raw = data.data
                body[name] = {
                    "type": data.format,
                    "data": base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw,
                }
                if data.schema is not None:
                    body[name]["schema"] = data.schema
        if record.partition is not None:
            body["partition_id"] = record.partition
        if record.timestamp is not None:
            body["timestamp"] = record.timestamp
        body["headers"] = [{"name": n, "value": base64.b64encode(v).decode()} for n, v in record.headers]
        return body

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        body = {"entries": [{"id": id, **self._record(record)} for id, record in entries]}
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/{topic}/records:batch", body)
        successes = [(entry["id"], entry["partition_id"], entry["offset"]) for entry in found["successes"]]
        return successes, [(entry["id"], (None, entry["error_code"])) for entry in found["failures"]]

    def _moving(self, found: dict[str, Any]) -> Moving:
        return (found["topic_name"], found["partition_id"], found["adding_replicas"], found["removing_replicas"])

    async def reassignments(self, cluster: str, topic: str | None = None) -> list[Moving]:
        path = f"/v3/clusters/{cluster}/topics/{topic or '-'}/partitions/-/reassignment"
        return [self._moving(entry) for entry in (await self._call("GET", path))["data"]]

    async def reassignment(self, cluster: str, topic: str, partition: int) -> Moving | None:
        path = f"/v3/clusters/{cluster}/topics/{topic}/partitions/{partition}/reassignment"
        try:
            return self._moving(await self._call("GET", path))
        except FaceError as error:
            if error.codes != self.codes(NotFound):
                raise
            return None

    async def produce_with_schema(self, cluster: str, topic: str, value: dict[str, Any]) -> dict[str, Any]:
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/{topic}/records", {"value": value})
        if found["error_code"] != 200:
            raise FaceError((None, found["error_code"]), found["message"])
        report: dict[str, Any] = found["value"]
        return report
