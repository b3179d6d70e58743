"""v3 resources: members, order, links, codes."""

import uuid
from typing import Any

import httpx
import pytest

JSON = {"content-type": "application/json"}


def _new_name() -> str:
    return f"rest-{uuid.uuid4().hex[:12]}"


async def test_the_cluster(client: httpx.AsyncClient, cluster: str) -> None:
    response = await client.get("/v3/clusters")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    base = f"{client.base_url}".rstrip("/")
    assert document["kind"] == "KafkaClusterList"
    assert document["metadata"] == {"self": f"{base}/v3/clusters", "next": None}
    [found] = document["data"]
    assert found == (await client.get(cluster)).json()
    assert list(found) == [
        *("kind", "metadata", "cluster_id", "controller", "acls", "brokers", "broker_configs"),
        *("consumer_groups", "topics", "partition_reassignments"),
    ]
    assert found["metadata"]["self"] == base + cluster
    assert (await client.get(found["controller"]["related"])).json()["kind"] == "KafkaBroker"
    assert (await client.get("/v3/clusters/nope")).json() == {"error_code": 404, "message": "HTTP 404 Not Found"}


async def test_brokers(client: httpx.AsyncClient, cluster: str) -> None:
    [broker] = (await client.get(f"{cluster}/brokers")).json()["data"]
    where = f"{cluster}/brokers/{broker['broker_id']}"
    assert broker == (await client.get(where)).json()
    assert list(broker) == [
        *("kind", "metadata", "cluster_id", "broker_id", "host", "port", "rack", "configs", "partition_replicas"),
    ]
    replicas = (await client.get(broker["partition_replicas"]["related"])).json()
    assert replicas["kind"] == "KafkaReplicaList"
    assert (await client.get(f"{cluster}/brokers/99")).status_code == 404
    assert (await client.get(f"{cluster}/brokers/abc")).json()["error_code"] == 400
    missing = await client.get(f"{cluster}/brokers/99/partition-replicas")
    assert missing.json() == {"error_code": 404, "message": "Broker 99 cannot be found."}


async def test_create_read_and_delete_a_topic(client: httpx.AsyncClient, cluster: str) -> None:
    name = _new_name()
    body = {"topic_name": name, "partitions_count": 2, "configs": [{"name": "cleanup.policy", "value": "compact"}]}
    created = await client.post(f"{cluster}/topics", json=body)
    where = f"{cluster}/topics/{name}"
    assert created.status_code == 201
    assert created.headers["location"] == f"{client.base_url}".rstrip("/") + where
    topic = created.json()
    assert (topic["partitions_count"], topic["replication_factor"], topic["authorized_operations"]) == (2, 1, [])
    assert topic == (await client.get(where)).json()
    again = await client.post(f"{cluster}/topics", json=body)
    assert (again.status_code, again.json()["error_code"]) == (400, 40002)

    patched = await client.patch(where, json={"partitions_count": 4})
    assert (patched.status_code, patched.json()["partitions_count"]) == (200, 4)
    assert "vary" not in patched.headers
    fewer = await client.patch(where, json={"partitions_count": 1})
    assert (fewer.status_code, fewer.json()["error_code"]) == (400, 40002)

    allowed = await client.get(where, params={"include_authorized_operations": "true"})
    assert "WRITE" in allowed.json()["authorized_operations"]

    deleted = await client.delete(where)
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = await client.delete(where)
    message = "This server does not host this topic-partition."
    assert (gone.status_code, gone.json()) == (404, {"error_code": 40403, "message": message})


async def test_a_topic_that_is_only_validated(client: httpx.AsyncClient, cluster: str) -> None:
    name = _new_name()
    response = await client.post(f"{cluster}/topics", json={"topic_name": name, "validate_only": True})
    assert (response.status_code, response.json()["topic_name"]) == (200, name)
    assert (await client.get(f"{cluster}/topics/{name}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, 42206),
        (b"null", 422, 42206),
        (b"{bad", 400, 400),
        (b'{"topic_name":"x"', 400, 400),
        (b"[]", 400, 400),
        (b"{}", 400, 400),
        (b'{"topic_name":5}', 400, 400),
        (b'{"topic_name":"x","bogus":1}', 422, 422),
        (b'{"topic_name":"x","partitions_count":"y"}', 400, 400),
        (b'{"topic_name":"x","partitions_count":0}', 400, 40002),
        (b'{"topic_name":"x","replication_factor":5}', 400, 40002),
        (b'{"topic_name":"x","configs":[{"name":"nope","value":"1"}]}', 400, 40002),
        (b'{"topic_name":"bad name!"}', 422, 42206),
        (b'{"topic_name":"x\xff"}', 400, 400),
        (b"[" * 100_000, 400, 400),
    ],
)
async def test_invalid_topics(client: httpx.AsyncClient, cluster: str, body: bytes, status: int, code: int) -> None:
    response = await client.post(f"{cluster}/topics", headers=JSON, content=body)
    assert (response.status_code, response.json()["error_code"]) == (status, code)
    assert "Traceback" not in response.text


async def test_another_cluster(client: httpx.AsyncClient) -> None:
    expected = {"error_code": 404, "message": "Cluster nope cannot be found."}
    assert (await client.get("/v3/clusters/nope/topics")).json() == expected
    created = await client.post("/v3/clusters/nope/topics", json={"topic_name": "x"})
    assert (created.status_code, created.json()) == (404, expected)


async def test_partitions_and_replicas(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    where = f"{cluster}/topics/{await topic(partitions=2)}/partitions"
    listed = (await client.get(where)).json()
    assert listed["kind"] == "KafkaPartitionList"
    assert [partition["partition_id"] for partition in listed["data"]] == [0, 1]
    partition = (await client.get(f"{where}/1")).json()
    assert partition == listed["data"][1]
    leader = (await client.get(partition["leader"]["related"])).json()
    assert (leader["kind"], leader["is_leader"], leader["is_in_sync"]) == ("KafkaReplica", True, True)
    [replica] = (await client.get(partition["replicas"]["related"])).json()["data"]
    assert replica == leader
    offsets = (await client.get(f"{where}/0/offset")).json()
    assert (offsets["earliest_offset"], offsets["latest_offset"]) == (0, 0)
    assert offsets["metadata"]["resource_name"].endswith("/offset_type=earliest_and_latest")
    wrong = await client.get(f"{where}/0/offset", params={"offset_type": "earliest"})
    assert (wrong.status_code, wrong.json()["message"]) == (400, "offset_type:earliest is invalid")
    assert (await client.get(f"{where}/7")).json() == {"error_code": 404, "message": "HTTP 404 Not Found"}
    assert (await client.get(f"{where}/x")).json()["error_code"] == 400
    assert (await client.get(f"{where}/0/replicas/99")).status_code == 404


async def test_topic_configs(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    name = await topic()
    where = f"{cluster}/topics/{name}/configs"
    config = (await client.get(f"{where}/cleanup.policy")).json()
    assert list(config) == [
        *("kind", "metadata", "cluster_id", "name", "value", "is_read_only", "is_sensitive", "source", "synonyms"),
        *("topic_name", "is_default"),
    ]
    assert (config["value"], config["source"], config["is_default"]) == ("delete", "DEFAULT_CONFIG", True)
    assert config in (await client.get(where)).json()["data"]

    assert (await client.put(f"{where}/cleanup.policy", json={"value": "compact"})).status_code == 204
    assert (await client.get(f"{where}/cleanup.policy")).json()["value"] == "compact"
    assert (await client.delete(f"{where}/cleanup.policy")).status_code == 204
    # A setting of the topic that has the name of the broker's: both are synonyms.
    assert (await client.put(f"{where}/compression.type", json={"value": "zstd"})).status_code == 204
    synonyms = (await client.get(f"{where}/compression.type")).json()["synonyms"]
    assert [(entry["value"], entry["source"]) for entry in synonyms] == [
        ("zstd", "DYNAMIC_TOPIC_CONFIG"),
        ("producer", "DEFAULT_CONFIG"),
    ]
    changes = {"data": [{"name": "retention.ms", "value": "1000"}, {"name": "cleanup.policy", "operation": "DELETE"}]}
    altered = await client.post(f"{where}:alter", json=changes)
    assert (altered.status_code, altered.headers["vary"]) == (204, "Accept-Encoding")
    assert (await client.get(f"{where}/retention.ms")).json()["value"] == "1000"

    for method, path, body, status, code in (
        ("PUT", f"{where}/cleanup.policy", {}, 400, 40002),
        ("PUT", f"{where}/cleanup.policy", {"value": "nonsense"}, 400, 40002),
        ("PUT", f"{where}/cleanup.policy", {"value": 5}, 400, 40002),
        ("PUT", f"{where}/cleanup.policy", {"value": [5]}, 400, 400),
        ("POST", f"{where}:alter", {}, 400, 400),
        ("POST", f"{where}:alter", {"data": [{"name": "retention.ms", "operation": "BOGUS"}]}, 400, 400),
        ("POST", f"{where}:alter", {"data": [{"name": "nope", "value": "1"}]}, 404, 404),
        ("DELETE", f"{where}/nope", None, 404, 404),
        ("GET", f"{where}/nope", None, 404, 404),
        ("GET", f"{cluster}/topics/no-such-topic/configs", None, 404, 40403),
    ):
        response = await client.request(method, path, json=body)
        assert (response.status_code, response.json()["error_code"]) == (status, code), (method, path, body)

    everything = (await client.get(f"{cluster}/topics/-/configs")).json()
    assert everything["metadata"]["self"].endswith(f"{cluster}/topics/-/configs")
    assert any(entry["topic_name"] == name for entry in everything["data"])
