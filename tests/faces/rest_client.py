"""The operations through REST."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx

from faces.clients import ACL_MEMBERS, FaceError, Lag, LagSummary, Moving, Produced, Reader
from kafka_facade.core.errors import FacadeError, NotFound


class RestClient:
    """The REST face: v3, and v2 where only that has the operation."""

    shows_undecodable = False

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60)

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (kind.codes.status, kind.codes.v2 if v2 else kind.codes.v3)

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

    async def clusters(self) -> list[str]:
        return [entry["cluster_id"] for entry in (await self._call("GET", "/v3/clusters"))["data"]]

    async def cluster(self, cluster: str) -> str:
        return str((await self._call("GET", f"/v3/clusters/{cluster}"))["cluster_id"])

    async def brokers(self, cluster: str) -> list[tuple[int, str, int]]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/brokers")
        return [(entry["broker_id"], entry["host"], entry["port"]) for entry in found["data"]]

    async def broker(self, cluster: str, broker: int) -> tuple[int, str, int]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/brokers/{broker}")
        return (found["broker_id"], found["host"], found["port"])

    async def topics(self, cluster: str) -> list[str]:
        return [entry["topic_name"] for entry in (await self._call("GET", f"/v3/clusters/{cluster}/topics"))["data"]]

    def _topic(self, found: dict[str, Any]) -> dict[str, Any]:
        return {name: found[name] for name in ("topic_name", "partitions_count", "replication_factor", "is_internal")}

    async def topic(self, cluster: str, topic: str) -> dict[str, Any]:
        return self._topic(await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}"))

    async def create_topic(self, cluster: str, topic: str, **settings: Any) -> dict[str, Any]:
        body = {"topic_name": topic, **settings}
        return self._topic(await self._call("POST", f"/v3/clusters/{cluster}/topics", body))

    async def delete_topic(self, cluster: str, topic: str) -> None:
        await self._call("DELETE", f"/v3/clusters/{cluster}/topics/{topic}")

    async def update_partitions(self, cluster: str, topic: str, count: int) -> dict[str, Any]:
        path = f"/v3/clusters/{cluster}/topics/{topic}"
        return self._topic(await self._call("PATCH", path, {"partitions_count": count}))

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/partitions")
        return [self._partition(entry) for entry in found["data"]]

    def _partition(self, found: dict[str, Any]) -> tuple[int, int]:
        return (found["partition_id"], int(found["leader"]["related"].rsplit("/", 1)[1]))

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        return self._partition(await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/partitions/{partition}"))

    async def configs(self, cluster: str, topic: str) -> dict[str, str]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/configs")
        return {entry["name"]: entry["value"] for entry in found["data"]}

    async def config(self, cluster: str, topic: str, name: str) -> tuple[str, bool]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/topics/{topic}/configs/{name}")
        return (found["value"], found["is_default"])

    async def update_config(self, cluster: str, topic: str, name: str, value: str) -> None:
        await self._call("PUT", f"/v3/clusters/{cluster}/topics/{topic}/configs/{name}", {"value": value})

    async def reset_config(self, cluster: str, topic: str, name: str) -> None:
        await self._call("DELETE", f"/v3/clusters/{cluster}/topics/{topic}/configs/{name}")

    async def alter_configs(self, cluster: str, topic: str, changes: list[dict[str, str]]) -> None:
        await self._call("POST", f"/v3/clusters/{cluster}/topics/{topic}/configs:alter", {"data": changes})

    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]:
        body = self._record(record)
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/{topic}/records", body)
        if found["error_code"] != 200:
            # An error of a record stands in the document of an HTTP 200, with its code alone.
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

    async def subscribe(self, group: str, name: str, topics: list[str]) -> None:
        await self._call("POST", self._instance(group, name) + "/subscription", {"topics": topics}, v2="*/*")

    async def assign(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        body = {"partitions": [{"topic": topic, "partition": partition} for topic, partition in partitions]}
        await self._call("POST", self._instance(group, name) + "/assignments", body, v2="*/*")

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

    async def _seek_all(self, where: str, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        body = {"partitions": [{"topic": topic, "partition": partition} for topic, partition in partitions]}
        await self._call("POST", f"{self._instance(group, name)}/positions/{where}", body, v2="*/*")

    async def seek_to_beginning(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        await self._seek_all("beginning", group, name, partitions)

    async def seek_to_end(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        await self._seek_all("end", group, name, partitions)

    async def delete_consumer(self, group: str, name: str) -> None:
        await self._call("DELETE", self._instance(group, name), v2="*/*")

    async def _group(self, cluster: str, group: str, rest: str = "") -> Any:
        return await self._call("GET", f"/v3/clusters/{cluster}/consumer-groups/{quote(group, safe='')}{rest}")

    async def consumer_groups(self, cluster: str) -> dict[str, str]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/consumer-groups")
        return {entry["consumer_group_id"]: entry["state"] for entry in found["data"]}

    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]:
        found = await self._group(cluster, group)
        shown = ("is_simple", "partition_assignor", "state", "type", "is_mixed_consumer_group")
        coordinator = int(found["coordinator"]["related"].rpartition("/")[2])
        return {name: found[name] for name in shown} | {"coordinator_id": coordinator}

    def _reader(self, found: dict[str, Any], prefix: str = "") -> Reader:
        return Reader(*(found[f"{prefix}{name}"] for name in ("consumer_id", "instance_id", "client_id")))

    async def consumers(self, cluster: str, group: str) -> list[Reader]:
        return [self._reader(entry) for entry in (await self._group(cluster, group, "/consumers"))["data"]]

    async def consumer(self, cluster: str, group: str, consumer: str) -> Reader:
        return self._reader(await self._group(cluster, group, f"/consumers/{quote(consumer, safe='')}"))

    async def consumer_assignments(self, cluster: str, group: str, consumer: str) -> list[tuple[str, int]]:
        found = await self._group(cluster, group, f"/consumers/{quote(consumer, safe='')}/assignments")
        return [(entry["topic_name"], entry["partition_id"]) for entry in found["data"]]

    async def consumer_assignment(
        self, cluster: str, group: str, consumer: str, topic: str, partition: int
    ) -> tuple[str, int]:
        where = f"/consumers/{quote(consumer, safe='')}/assignments/{topic}/partitions/{partition}"
        found = await self._group(cluster, group, where)
        return (found["topic_name"], found["partition_id"])

    async def lag_summary(self, cluster: str, group: str) -> LagSummary:
        found = await self._group(cluster, group, "/lag-summary")
        reader = self._reader(found, "max_lag_")
        numbers = (found["max_lag"], found["total_lag"])
        return LagSummary(found["max_lag_topic_name"], found["max_lag_partition_id"], reader, *numbers)

    def _lag(self, found: dict[str, Any]) -> Lag:
        numbers = (found["current_offset"], found["log_end_offset"], found["lag"])
        return Lag(found["topic_name"], found["partition_id"], self._reader(found), *numbers)

    async def lags(self, cluster: str, group: str) -> list[Lag]:
        return [self._lag(entry) for entry in (await self._group(cluster, group, "/lags"))["data"]]

    async def lag(self, cluster: str, group: str, topic: str, partition: int) -> Lag:
        return self._lag(await self._group(cluster, group, f"/lags/{topic}/partitions/{partition}"))

    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        data = [{"topic_name": topic, "configs": configs} for topic, configs in changes.items()]
        body = {"data": data, "validate_only": validate_only}
        found = await self._call("POST", f"/v3/clusters/{cluster}/topics/-/configs:alter", body)
        failures = found["failures"] if found else []
        return [(entry["topic_name"], (entry["error_code"],), entry["message"]) for entry in failures]

    def _config(self, found: dict[str, Any]) -> dict[str, Any]:
        synonyms = [(entry["value"], entry["source"]) for entry in found["synonyms"]]
        names = ("name", "value", "source", "is_default", "is_read_only", "is_sensitive")
        return {name: found[name] for name in names} | {"synonyms": synonyms}

    def _broker_configs(self, cluster: str, broker: int | str) -> str:
        return f"/v3/clusters/{cluster}/brokers/{broker}/configs"

    async def broker_configs(self, cluster: str, broker: int) -> dict[str, str | None]:
        found = await self._call("GET", self._broker_configs(cluster, broker))
        return {entry["name"]: entry["value"] for entry in found["data"]}

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        found = await self._call("GET", self._broker_configs(cluster, "-"))
        return [(entry["broker_id"], entry["name"]) for entry in found["data"]]

    async def broker_config(self, cluster: str, broker: int, name: str) -> dict[str, Any]:
        return self._config(await self._call("GET", f"{self._broker_configs(cluster, broker)}/{name}"))

    async def update_broker_config(self, cluster: str, broker: int, name: str, value: str) -> None:
        await self._call("PUT", f"{self._broker_configs(cluster, broker)}/{name}", {"value": value})

    async def reset_broker_config(self, cluster: str, broker: int, name: str) -> None:
        await self._call("DELETE", f"{self._broker_configs(cluster, broker)}/{name}")

    async def alter_broker_configs(
        self, cluster: str, broker: int, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        body = {"data": changes, "validate_only": validate_only}
        await self._call("POST", f"{self._broker_configs(cluster, broker)}:alter", body)

    async def cluster_configs(self, cluster: str) -> dict[str, str | None]:
        found = await self._call("GET", f"/v3/clusters/{cluster}/broker-configs")
        return {entry["name"]: entry["value"] for entry in found["data"]}

    async def cluster_config(self, cluster: str, name: str) -> dict[str, Any]:
        return self._config(await self._call("GET", f"/v3/clusters/{cluster}/broker-configs/{name}"))

    async def update_cluster_config(self, cluster: str, name: str, value: str) -> None:
        await self._call("PUT", f"/v3/clusters/{cluster}/broker-configs/{name}", {"value": value})

    async def reset_cluster_config(self, cluster: str, name: str) -> None:
        await self._call("DELETE", f"/v3/clusters/{cluster}/broker-configs/{name}")

    async def alter_cluster_configs(
        self, cluster: str, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        body = {"data": changes, "validate_only": validate_only}
        await self._call("POST", f"/v3/clusters/{cluster}/broker-configs:alter", body)

    async def not_served_yet(self, cluster: str) -> None:
        await self._call("GET", f"/v3/clusters/{cluster}/links")

    async def close(self) -> None:
        await self._http.aclose()

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
        body["headers"] = [{"name": n, "value": base64.b64encode(v).decode()} for n, v in record.headers]
        return body

    def _acls(self, found: dict[str, Any]) -> list[dict[str, str]]:
        return [{name: entry[name] for name in ACL_MEMBERS} for entry in found["data"]]

    async def acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        return self._acls(await self._call("GET", f"/v3/clusters/{cluster}/acls", **filters))

    async def create_acl(self, cluster: str, acl: dict[str, str]) -> None:
        await self._call("POST", f"/v3/clusters/{cluster}/acls", acl)

    async def create_acls(self, cluster: str, acls: list[dict[str, str]]) -> None:
        await self._call("POST", f"/v3/clusters/{cluster}/acls:batch", {"data": acls})

    async def delete_acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        return self._acls(await self._call("DELETE", f"/v3/clusters/{cluster}/acls", **filters))

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
