"""The operations through GraphQL."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from faces.clients import ACL_MEMBERS, Data, FaceError, Lag, LagSummary, Moving, Produced, Reader
from kafka_facade.core.errors import FacadeError

_ACL_TYPES = {
    "resource_type": "AclResourceType",
    "pattern_type": "AclPatternType",
    "operation": "AclOperation",
    "permission": "AclPermission",
}
_CONFIG = "{ name value source isDefault isReadOnly isSensitive synonyms { value source } }"
_TOPIC = "{ topicName partitionsCount replicationFactor isInternal }"


_READER = "consumerId instanceId clientId"
_LAG = f"topicName partitionId {_READER} currentOffset logEndOffset lag"


def _snake(found: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("Id", "_id"): value for name, value in found.items()}


class GraphQLClient:
    """The GraphQL face."""

    shows_undecodable = True

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(timeout=60)
        self._url = url

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (kind.reason, kind.codes.v3)

    async def _run(self, document: str, **variables: Any) -> Any:
        answer = await self._http.post(self._url, json={"query": document, "variables": variables})
        said = answer.json()
        if said.get("errors"):
            [error] = said["errors"]
            extensions = error.get("extensions") or {}
            raise FaceError((extensions.get("code"), extensions.get("errorCode")), error["message"])
        return said["data"]

    async def _cluster(self, cluster: str, selection: str) -> Any:
        return (await self._run(f"query($c: ID!) {{ cluster(clusterId: $c) {{ {selection} }} }}", c=cluster))["cluster"]

    async def _topic(self, cluster: str, topic: str, selection: str, arguments: str = "", **variables: Any) -> Any:
        document = f"query($c: ID!, $t: String!{arguments}) {{ cluster(clusterId: $c) {{ topic(topicName: $t) "
        return (await self._run(document + selection + "}}", c=cluster, t=topic, **variables))["cluster"]["topic"]

    async def _mutate(self, field: str, selection: str, **values: Any) -> Any:
        kind = field[0].upper() + field[1:] + "Input"
        document = f"mutation($i: {kind}!) {{ {field}(input: $i) {{ {selection} }} }}"
        return (await self._run(document, i=values))[field]

    async def clusters(self) -> list[str]:
        return [found["clusterId"] for found in (await self._run("{ clusters { clusterId } }"))["clusters"]]

    async def cluster(self, cluster: str) -> str:
        return str((await self._cluster(cluster, "clusterId"))["clusterId"])

    async def brokers(self, cluster: str) -> list[tuple[int, str, int]]:
        found = await self._cluster(cluster, "brokers { brokerId host port }")
        return [(entry["brokerId"], entry["host"], entry["port"]) for entry in found["brokers"]]

    async def broker(self, cluster: str, broker: int) -> tuple[int, str, int]:
        document = "query($c: ID!, $b: Int!) { cluster(clusterId: $c) { broker(brokerId: $b) { brokerId host port } } }"
        found = (await self._run(document, c=cluster, b=broker))["cluster"]["broker"]
        return (found["brokerId"], found["host"], found["port"])

    async def topics(self, cluster: str) -> list[str]:
        return [
            found["topicName"]
            for found in (await self._cluster(cluster, "topics(first: 1000) { nodes { topicName } }"))["topics"][
                "nodes"
            ]
        ]

    def _plain(self, found: dict[str, Any]) -> dict[str, Any]:
        return {
            "topic_name": found["topicName"],
            "partitions_count": found["partitionsCount"],
            "replication_factor": found["replicationFactor"],
            "is_internal": found["isInternal"],
        }

    async def topic(self, cluster: str, topic: str) -> dict[str, Any]:
        return self._plain(await self._topic(cluster, topic, _TOPIC))

    async def create_topic(self, cluster: str, topic: str, **settings: Any) -> dict[str, Any]:
        names = {"partitions_count": "partitionsCount", "replication_factor": "replicationFactor"}
        values = {names.get(name, name): value for name, value in settings.items()}
        found = await self._mutate("createTopic", f"topic {_TOPIC}", clusterId=cluster, topicName=topic, **values)
        return self._plain(found["topic"])

    async def delete_topic(self, cluster: str, topic: str) -> None:
        await self._mutate("deleteTopic", "topicName", clusterId=cluster, topicName=topic)

    async def update_partitions(self, cluster: str, topic: str, count: int) -> dict[str, Any]:
        found = await self._mutate(
            "updatePartitionCount", f"topic {_TOPIC}", clusterId=cluster, topicName=topic, partitionsCount=count
        )
        return self._plain(found["topic"])

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        found = await self._topic(cluster, topic, "{ partitions { partitionId leader { brokerId } } }")
        return [(entry["partitionId"], entry["leader"]["brokerId"]) for entry in found["partitions"]]

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        selection = "{ partition(partitionId: $p) { partitionId leader { brokerId } } }"
        found = (await self._topic(cluster, topic, selection, ", $p: Int!", p=partition))["partition"]
        return (found["partitionId"], found["leader"]["brokerId"])

    async def configs(self, cluster: str, topic: str) -> dict[str, str]:
        found = await self._topic(cluster, topic, "{ configs { name value } }")
        return {entry["name"]: entry["value"] for entry in found["configs"]}

    async def config(self, cluster: str, topic: str, name: str) -> tuple[str, bool]:
        found = await self._topic(cluster, topic, "{ config(name: $n) { value isDefault } }", ", $n: String!", n=name)
        return (found["config"]["value"], found["config"]["isDefault"])

    async def update_config(self, cluster: str, topic: str, name: str, value: str) -> None:
        values = {"clusterId": cluster, "topicName": topic, "name": name, "value": value}
        await self._mutate("updateTopicConfig", "__typename", **values)

    async def reset_config(self, cluster: str, topic: str, name: str) -> None:
        await self._mutate("resetTopicConfig", "__typename", clusterId=cluster, topicName=topic, name=name)

    async def alter_configs(self, cluster: str, topic: str, changes: list[dict[str, str]]) -> None:
        await self._mutate("alterTopicConfigs", "__typename", clusterId=cluster, topicName=topic, data=changes)

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
        found = await self._mutate("produceRecords", selection, clusterId=cluster, topicName=topic, records=[entry])
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
        found = await self._mutate("createConsumer", "consumer { instanceId }", **values)
        return str(found["consumer"]["instanceId"])

    async def subscribe(self, group: str, name: str, topics: list[str]) -> None:
        await self._mutate("subscribeConsumer", "__typename", group=group, instance=name, topics=topics)

    async def assign(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        wanted = [{"topicName": topic, "partitionId": partition} for topic, partition in partitions]
        await self._mutate("assignConsumerPartitions", "__typename", group=group, instance=name, partitions=wanted)

    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]:
        values = {"group": group, "instance": name, "format": format, "timeoutMs": timeout_ms}
        wanted = "record { offset key { base64 } value { base64 } } key value keyInfo { error } valueInfo { error }"
        found = await self._mutate("fetchConsumerRecords", f"records {{ {wanted} }}", **values)
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
        await self._mutate("commitConsumerOffsets", "__typename", group=group, instance=name, offsets=values)

    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None:
        values = {"group": group, "instance": name, "offsets": self._positions(offsets)}
        await self._mutate("seekConsumerToOffsets", "__typename", **values)

    async def _seek_all(self, field: str, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        named = [{"topicName": topic, "partitionId": partition} for topic, partition in partitions]
        await self._mutate(field, "__typename", group=group, instance=name, partitions=named)

    async def seek_to_beginning(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        await self._seek_all("seekConsumerToBeginning", group, name, partitions)

    async def seek_to_end(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        await self._seek_all("seekConsumerToEnd", group, name, partitions)

    async def delete_consumer(self, group: str, name: str) -> None:
        await self._mutate("deleteConsumer", "instanceId", group=group, instance=name)

    async def consumer_groups(self, cluster: str) -> dict[str, str]:
        selection = "consumerGroups(first: 1000) { nodes { consumerGroupId state } }"
        found = (await self._cluster(cluster, selection))["consumerGroups"]["nodes"]
        return {entry["consumerGroupId"]: entry["state"] for entry in found}

    async def _group(self, cluster: str, group: str, selection: str, arguments: str = "", **variables: Any) -> Any:
        document = f"query($c: ID!, $g: String!{arguments}) {{ cluster(clusterId: $c) {{ "
        document += f"consumerGroup(consumerGroupId: $g) {{ {selection} }} }} }}"
        return (await self._run(document, c=cluster, g=group, **variables))["cluster"]["consumerGroup"]

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

    async def consumers(self, cluster: str, group: str) -> list[Reader]:
        found = await self._group(cluster, group, f"consumers {{ {_READER} }}")
        return [Reader(**_snake(entry)) for entry in found["consumers"]]

    async def _consumer(self, cluster: str, group: str, consumer: str, selection: str, **variables: Any) -> Any:
        arguments = ", $m: String!" + (", $t: String!, $p: Int!" if variables else "")
        selection = f"consumer(consumerId: $m) {{ {selection} }}"
        return (await self._group(cluster, group, selection, arguments, m=consumer, **variables))["consumer"]

    async def consumer(self, cluster: str, group: str, consumer: str) -> Reader:
        return Reader(**_snake(await self._consumer(cluster, group, consumer, _READER)))

    async def consumer_assignments(self, cluster: str, group: str, consumer: str) -> list[tuple[str, int]]:
        found = await self._consumer(cluster, group, consumer, "assignments { topicName partitionId }")
        return [(entry["topicName"], entry["partitionId"]) for entry in found["assignments"]]

    async def consumer_assignment(
        self, cluster: str, group: str, consumer: str, topic: str, partition: int
    ) -> tuple[str, int]:
        selection = "assignment(topicName: $t, partitionId: $p) { partition { partitionId topic { topicName } } }"
        found = await self._consumer(cluster, group, consumer, selection, t=topic, p=partition)
        place = found["assignment"]["partition"]
        return (place["topic"]["topicName"], place["partitionId"])

    async def lag_summary(self, cluster: str, group: str) -> LagSummary:
        selection = "maxLag totalLag maxLagConsumerId maxLagInstanceId maxLagClientId maxLagTopicName maxLagPartitionId"
        found = (await self._group(cluster, group, f"lagSummary {{ {selection} }}"))["lagSummary"]
        reader = Reader(found["maxLagConsumerId"], found["maxLagInstanceId"], found["maxLagClientId"])
        place = (found["maxLagTopicName"], found["maxLagPartitionId"])
        return LagSummary(*place, reader, found["maxLag"], found["totalLag"])

    def _lag(self, found: dict[str, Any]) -> Lag:
        reader = Reader(found["consumerId"], found["instanceId"], found["clientId"])
        numbers = (found["currentOffset"], found["logEndOffset"], found["lag"])
        return Lag(found["topicName"], found["partitionId"], reader, *numbers)

    async def lags(self, cluster: str, group: str) -> list[Lag]:
        return [self._lag(entry) for entry in (await self._group(cluster, group, f"lags {{ {_LAG} }}"))["lags"]]

    async def lag(self, cluster: str, group: str, topic: str, partition: int) -> Lag:
        selection = f"lag(topicName: $t, partitionId: $p) {{ {_LAG} }}"
        return self._lag(
            (await self._group(cluster, group, selection, ", $t: String!, $p: Int!", t=topic, p=partition))["lag"]
        )

    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        found = await self._mutate(
            "alterMultipleTopicConfigs",
            "failures { topicName error { code errorCode message retriable } }",
            clusterId=cluster,
            data=[{"topicName": topic, "configs": configs} for topic, configs in changes.items()],
            validateOnly=validate_only,
        )
        errors = [(entry["topicName"], entry["error"]) for entry in found["failures"]]
        return [(topic, (error["code"], error["errorCode"]), error["message"]) for topic, error in errors]

    def _config(self, found: dict[str, Any]) -> dict[str, Any]:
        names = {"isDefault": "is_default", "isReadOnly": "is_read_only", "isSensitive": "is_sensitive"}
        synonyms = [(entry["value"], entry["source"]) for entry in found["synonyms"]]
        return {names.get(name, name): value for name, value in found.items()} | {"synonyms": synonyms}

    async def _broker(self, cluster: str, broker: int, selection: str, arguments: str = "", **variables: Any) -> Any:
        document = f"query($c: ID!, $b: Int!{arguments}) {{ cluster(clusterId: $c) {{ broker(brokerId: $b) {{ "
        return (await self._run(document + selection + "}}}", c=cluster, b=broker, **variables))["cluster"]["broker"]

    async def broker_configs(self, cluster: str, broker: int) -> dict[str, str | None]:
        found = await self._broker(cluster, broker, "configs { name value }")
        return {entry["name"]: entry["value"] for entry in found["configs"]}

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        found = await self._cluster(cluster, "brokers { brokerId configs { name } }")
        return [(broker["brokerId"], entry["name"]) for broker in found["brokers"] for entry in broker["configs"]]

    async def broker_config(self, cluster: str, broker: int, name: str) -> dict[str, Any]:
        found = await self._broker(cluster, broker, f"config(name: $n) {_CONFIG}", ", $n: String!", n=name)
        return self._config(found["config"])

    async def update_broker_config(self, cluster: str, broker: int, name: str, value: str) -> None:
        selection = "broker { brokerId } config { name value }"
        values = {"clusterId": cluster, "brokerId": broker, "name": name, "value": value}
        found = await self._mutate("updateBrokerConfig", selection, **values)
        assert found == {"broker": {"brokerId": broker}, "config": {"name": name, "value": value}}

    async def reset_broker_config(self, cluster: str, broker: int, name: str) -> None:
        values = {"clusterId": cluster, "brokerId": broker, "name": name}
        found = await self._mutate("resetBrokerConfig", "config { name }", **values)
        assert found == {"config": {"name": name}}

    async def alter_broker_configs(
        self, cluster: str, broker: int, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        values = {"clusterId": cluster, "brokerId": broker, "data": changes, "validateOnly": validate_only}
        await self._mutate("alterBrokerConfigs", "broker { host }", **values)

    async def cluster_configs(self, cluster: str) -> dict[str, str | None]:
        found = await self._cluster(cluster, "brokerConfigs { name value configType cluster { clusterId } }")
        return {entry["name"]: entry["value"] for entry in found["brokerConfigs"]}

    async def cluster_config(self, cluster: str, name: str) -> dict[str, Any]:
        document = f"query($c: ID!, $n: String!) {{ cluster(clusterId: $c) {{ brokerConfig(name: $n) {_CONFIG} }} }}"
        return self._config((await self._run(document, c=cluster, n=name))["cluster"]["brokerConfig"])

    async def update_cluster_config(self, cluster: str, name: str, value: str) -> None:
        selection = "cluster { clusterId } config { name value }"
        found = await self._mutate("updateClusterConfig", selection, clusterId=cluster, name=name, value=value)
        assert found == {"cluster": {"clusterId": cluster}, "config": {"name": name, "value": value}}

    async def reset_cluster_config(self, cluster: str, name: str) -> None:
        await self._mutate("resetClusterConfig", "cluster { clusterId }", clusterId=cluster, name=name)

    async def alter_cluster_configs(
        self, cluster: str, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        values = {"clusterId": cluster, "data": changes, "validateOnly": validate_only}
        await self._mutate("alterClusterConfigs", "cluster { clusterId }", **values)

    async def not_served_yet(self, cluster: str) -> None:
        await self._cluster(cluster, "links")

    async def close(self) -> None:
        await self._http.aclose()

    def _record(self, record: Produced) -> dict[str, Any]:
        return {
            "key": self._data(record.key),
            "value": self._data(record.value),
            "partitionId": record.partition,
            "headers": [{"name": n, "value": base64.b64encode(v).decode()} for n, v in record.headers],
        }

    def _camel(self, name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    def _acl_input(self, acl: dict[str, str]) -> dict[str, str]:
        return {self._camel(name): value for name, value in acl.items()}

    @property
    def _acl(self) -> str:
        return f"{{ {' '.join(map(self._camel, ACL_MEMBERS))} }}"

    def _acls(self, found: list[dict[str, str]]) -> list[dict[str, str]]:
        return [{name: entry[self._camel(name)] for name in ACL_MEMBERS} for entry in found]

    async def acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        declared = "".join(f", ${name}: {_ACL_TYPES.get(name, 'String')}" for name in filters)
        given = ", ".join(f"{self._camel(name)}: ${name}" for name in filters)
        field = f"acls({given})" if given else "acls"
        document = f"query($c: ID!{declared}) {{ cluster(clusterId: $c) {{ {field} {self._acl} }} }}"
        return self._acls((await self._run(document, c=cluster, **filters))["cluster"]["acls"])

    async def create_acl(self, cluster: str, acl: dict[str, str]) -> None:
        found = await self._mutate("createAcl", f"acl {self._acl}", clusterId=cluster, **self._acl_input(acl))
        assert self._acls([found["acl"]]) == [acl]

    async def create_acls(self, cluster: str, acls: list[dict[str, str]]) -> None:
        given = [self._acl_input(acl) for acl in acls]
        found = await self._mutate("createAcls", f"acls {self._acl}", clusterId=cluster, acls=given)
        assert self._acls(found["acls"]) == acls

    async def delete_acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        values = self._acl_input(filters)
        return self._acls((await self._mutate("deleteAcls", f"acls {self._acl}", clusterId=cluster, **values))["acls"])

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        selection = "successes { id report { partitionId offset } } failures { id error { code errorCode } }"
        given = [{"id": id, "record": self._record(record)} for id, record in entries]
        found = await self._mutate("produceRecordBatch", selection, clusterId=cluster, topicName=topic, entries=given)
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
        found = await self._mutate(
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
