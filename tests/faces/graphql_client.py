"""The operations through GraphQL."""

from __future__ import annotations

import base64
from typing import Any

from faces.clients import Data, FaceClient, Moving, Produced
from faces.generic import FaceError, GraphQLOperations


class GraphQLClient(GraphQLOperations, FaceClient):
    """The GraphQL face."""

    shows_undecodable = True

    async def _cluster(self, cluster: str, selection: str) -> Any:
        document = f"query($c: ID!) {{ cluster(clusterId: $c) {{ {selection} }} }}"
        return (await self.execute(document, c=cluster))["cluster"]

    async def _topic(self, cluster: str, topic: str, selection: str, arguments: str = "", **variables: Any) -> Any:
        document = f"query($c: ID!, $t: String!{arguments}) {{ cluster(clusterId: $c) {{ topic(topicName: $t) "
        return (await self.execute(document + selection + "}}", c=cluster, t=topic, **variables))["cluster"]["topic"]

    async def _changed(self, field: str, selection: str, **values: Any) -> Any:
        kind = field[0].upper() + field[1:] + "Input"
        document = f"mutation($i: {kind}!) {{ {field}(input: $i) {{ {selection} }} }}"
        return (await self.execute(document, i=values))[field]

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        found = await self._topic(cluster, topic, "{ partitions { partitionId leader { brokerId } } }")
        return [(entry["partitionId"], entry["leader"]["brokerId"]) for entry in found["partitions"]]

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        selection = "{ partition(partitionId: $p) { partitionId leader { brokerId } } }"
        found = (await self._topic(cluster, topic, selection, ", $p: Int!", p=partition))["partition"]
        return (found["partitionId"], found["leader"]["brokerId"])

    def _data(self, data: Data | None) -> dict[str, Any] | None:
        if data is None:
            return None
        raw = data.data
        return {
            "format": data.format,
            "data": base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw,
            "schema": None if data.schema is None else {"schema": data.schema},
        }

    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]:
        entry = self._record(record)
        selection = "results { report { partitionId offset } error { code errorCode message } }"
        found = await self._changed("produceRecords", selection, clusterId=cluster, topicName=topic, records=[entry])
        [result] = found["results"]
        if result["error"]:
            raise FaceError((result["error"]["code"], result["error"]["errorCode"]), result["error"]["message"])
        return (result["report"]["partitionId"], int(result["report"]["offset"]))

    async def create_consumer(self, group: str, name: str, **settings: str) -> str:
        values: dict[str, Any] = {"group": group, "name": name}
        if "format" in settings:
            values["format"] = settings["format"]
        if "auto_offset_reset" in settings:
            values["autoOffsetReset"] = settings["auto_offset_reset"]
        if "auto_commit" in settings:
            values["autoCommit"] = settings["auto_commit"] == "true"
        if "request_timeout_ms" in settings:
            values["requestTimeoutMs"] = int(settings["request_timeout_ms"])
        found = await self._changed("createConsumer", "consumer { instanceId }", **values)
        return str(found["consumer"]["instanceId"])

    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]:
        values = {"group": group, "instance": name, "format": format, "timeoutMs": timeout_ms}
        wanted = "record { offset key { base64 } value { base64 } } key value keyInfo { error } valueInfo { error }"
        found = await self._changed("fetchConsumerRecords", f"records {{ {wanted} }}", **values)
        return [
            (int(entry["record"]["offset"]), *(self._decoded(format, entry, part) for part in ("key", "value")))
            for entry in found["records"]
        ]

    def _decoded(self, format: str, entry: dict[str, Any], part: str) -> Any:
        if entry["record"][part] is None:
            return None
        if format == "BINARY" or entry[f"{part}Info"]["error"] is not None:
            return base64.b64decode(entry["record"][part]["base64"])
        return entry[part]

    def _positions(self, offsets: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
        return [
            {"topicName": topic, "partitionId": partition, "offset": offset} for topic, partition, offset in offsets
        ]

    async def commit(self, group: str, name: str, offsets: list[tuple[str, int, int]] | None = None) -> None:
        values = None if offsets is None else self._positions(offsets)
        await self._changed("commitConsumerOffsets", "__typename", group=group, instance=name, offsets=values)

    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None:
        values = {"group": group, "instance": name, "offsets": self._positions(offsets)}
        await self._changed("seekConsumerToOffsets", "__typename", **values)

    async def _group(self, cluster: str, group: str, selection: str, arguments: str = "", **variables: Any) -> Any:
        document = f"query($c: ID!, $g: String!{arguments}) {{ cluster(clusterId: $c) {{ "
        document += f"consumerGroup(consumerGroupId: $g) {{ {selection} }} }} }}"
        return (await self.execute(document, c=cluster, g=group, **variables))["cluster"]["consumerGroup"]

    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]:
        selection = "isSimple partitionAssignor state type isMixedConsumerGroup coordinator { brokerId }"
        found = await self._group(cluster, group, selection)
        return {
            "is_simple": found["isSimple"],
            "partition_assignor": found["partitionAssignor"],
            "state": found["state"],
            "type": found["type"],
            "is_mixed_consumer_group": found["isMixedConsumerGroup"],
            "coordinator_id": found["coordinator"]["brokerId"],
        }

    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        found = await self._changed(
            "alterMultipleTopicConfigs",
            "failures { topicName error { code errorCode message retriable } }",
            clusterId=cluster,
            data=[{"topicName": topic, "configs": configs} for topic, configs in changes.items()],
            validateOnly=validate_only,
        )
        errors = [(entry["topicName"], entry["error"]) for entry in found["failures"]]
        return [(topic, (error["code"], error["errorCode"]), error["message"]) for topic, error in errors]

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        found = await self._cluster(cluster, "brokers { brokerId configs { name } }")
        return [(broker["brokerId"], entry["name"]) for broker in found["brokers"] for entry in broker["configs"]]

    async def not_served_yet(self, cluster: str) -> None:
        await self._cluster(cluster, "links")

    def _record(self, record: Produced) -> dict[str, Any]:
        return {
            "key": self._data(record.key),
            "value": self._data(record.value),
            "partitionId": record.partition,
            "timestamp": record.timestamp,
            "headers": [{"name": n, "value": base64.b64encode(v).decode()} for n, v in record.headers],
        }

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        selection = "successes { id report { partitionId offset } } failures { id error { code errorCode } }"
        given = [{"id": id, "record": self._record(record)} for id, record in entries]
        found = await self._changed("produceRecordBatch", selection, clusterId=cluster, topicName=topic, entries=given)
        successes = [(e["id"], e["report"]["partitionId"], e["report"]["offset"]) for e in found["successes"]]
        return successes, [(e["id"], (e["error"]["code"], e["error"]["errorCode"])) for e in found["failures"]]

    def _moving(self, found: dict[str, Any]) -> Moving:
        place = found["partition"]
        return (
            place["topic"]["topicName"],
            place["partitionId"],
            found["addingReplicas"],
            found["removingReplicas"],
        )

    async def reassignments(self, cluster: str, topic: str | None = None) -> list[Moving]:
        selection = "{ addingReplicas removingReplicas partition { partitionId topic { topicName } } }"
        if topic is None:
            found = await self._cluster(cluster, f"partitionReassignments {selection}")
        else:
            found = await self._topic(cluster, topic, f"{{ partitionReassignments {selection} }}")
        return [self._moving(entry) for entry in found["partitionReassignments"]]

    async def reassignment(self, cluster: str, topic: str, partition: int) -> Moving | None:
        selection = "{ addingReplicas removingReplicas partition { partitionId topic { topicName } } }"
        inner = f"{{ partition(partitionId: $p) {{ reassignment {selection} }} }}"
        found = (await self._topic(cluster, topic, inner, ", $p: Int!", p=partition))["partition"]["reassignment"]
        return None if found is None else self._moving(found)

    async def produce_with_schema(self, cluster: str, topic: str, value: dict[str, Any]) -> dict[str, Any]:
        names = {
            "schema_id": "schemaId",
            "schema_version": "schemaVersion",
            "schema": "schema",
            "subject": "subject",
            "subject_name_strategy": "subjectNameStrategy",
        }
        schema = {names[name]: given for name, given in value.items() if name in names}
        data = {"format": value.get("type"), "data": value["data"], "schema": schema or None}
        selection = "value { type subject schema_id: schemaId schema_version: schemaVersion size }"
        found = await self._changed(
            "produceRecords",
            f"results {{ report {{ {selection} }} error {{ code errorCode message }} }}",
            clusterId=cluster,
            topicName=topic,
            records=[{"value": data}],
        )
        [result] = found["results"]
        if result["error"]:
            raise FaceError((result["error"]["code"], result["error"]["errorCode"]), result["error"]["message"])
        report: dict[str, Any] = result["report"]["value"]
        return report
