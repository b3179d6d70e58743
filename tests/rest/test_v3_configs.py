"""v3 configs of topics, of brokers, and of all brokers together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]

JSON = {"content-type": "application/json"}
MEMBERS = ["kind", "metadata", "cluster_id", "name", "value", "is_read_only", "is_sensitive", "source", "synonyms"]
NOT_FOUND = {"error_code": 404, "message": "HTTP 404 Not Found"}
NAME = "log.cleaner.threads"


def _described(bootstrap_servers: str, kind: ResourceType, name: str) -> dict[str, Any]:
    """The configs that an admin client gets from Kafka."""
    resource = ConfigResource(kind, name)
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    found: dict[str, Any] = admin.describe_configs([resource], request_timeout=20)[resource].result(20)
    return found


async def _compare(stack: BackgroundStack, kind: ResourceType, name: str, data: list[dict[str, Any]]) -> None:
    """Check that all configs are returned in order, with Kafka's values."""
    plain = await asyncio.to_thread(_described, stack.bootstrap_servers, kind, name)
    assert [config["name"] for config in data] == sorted(plain)
    for config in data:
        entry = plain[config["name"]]
        source = ConfigSource(entry.source).name
        expected = (entry.value, entry.is_read_only, entry.is_sensitive, source, source == "DEFAULT_CONFIG")
        got = [config[member] for member in ("value", "is_read_only", "is_sensitive", "source", "is_default")]
        assert tuple(got) == expected, config["name"]
        # A plain client keeps the last synonym of each name.
        last = {synonym["name"]: synonym for synonym in config["synonyms"]}
        assert {found.name: (found.value, ConfigSource(found.source).name) for found in entry.synonyms.values()} == {
            given: (synonym["value"], synonym["source"]) for given, synonym in last.items()
        }, config["name"]
        if config["synonyms"]:
            first = config["synonyms"][0]
            assert (first["value"], first["source"]) == (config["value"], config["source"])


@pytest.fixture
async def broker(client: httpx.AsyncClient, cluster: str) -> AsyncIterator[str]:
    """The path of a broker whose config changes, and those of all brokers, are reverted after the test."""
    yield f"{cluster}/brokers/1"
    for where in (f"{cluster}/brokers/1/configs", f"{cluster}/broker-configs"):
        changes = [{"name": name, "operation": "DELETE"} for name in (NAME, "compression.type")]
        assert (await client.post(f"{where}:alter", json={"data": changes})).status_code == 204


async def test_configs_of_a_broker(
    client: httpx.AsyncClient, cluster: str, broker: str, stack: BackgroundStack
) -> None:
    base = f"{client.base_url}".rstrip("/")
    [found] = (await client.get(f"{cluster}/brokers")).json()["data"]
    response = await client.get(found["configs"]["related"])
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    listed = response.json()
    assert listed["kind"] == "KafkaBrokerConfigList"
    assert listed["metadata"] == {"self": f"{base}{broker}/configs", "next": None}
    await _compare(stack, ResourceType.BROKER, "1", listed["data"])
    assert {config["is_read_only"] for config in listed["data"]} == {True, False}
    assert {config["source"] for config in listed["data"]} >= {"STATIC_BROKER_CONFIG", "DEFAULT_CONFIG"}
    secrets = [config for config in listed["data"] if config["is_sensitive"]]
    assert secrets
    assert {synonym["value"] for config in secrets for synonym in config["synonyms"]} | {
        config["value"] for config in secrets
    } == {None}

    config = (await client.get(f"{broker}/configs/{NAME}")).json()
    assert list(config) == [*MEMBERS, "broker_id", "is_default"]
    assert config in listed["data"]
    assert config["metadata"] == {
        "self": f"{base}{broker}/configs/{NAME}",
        "resource_name": f"crn:///kafka={stack.cluster_id}/broker=1/config={NAME}",
    }
    assert (config["kind"], config["broker_id"], config["is_default"]) == ("KafkaBrokerConfig", 1, True)
    everything = (await client.get(f"{cluster}/brokers/-/configs")).json()
    assert everything["metadata"]["self"] == f"{base}{cluster}/brokers/-/configs"
    assert everything["data"] == listed["data"]


async def test_all_synonyms_of_a_broker_config(
    client: httpx.AsyncClient, cluster: str, broker: str, stack: BackgroundStack
) -> None:
    where, shared = f"{broker}/configs", f"{cluster}/broker-configs"
    default = {"name": NAME, "value": "1", "source": "DEFAULT_CONFIG"}
    of_all = {"name": NAME, "value": "2", "source": "DYNAMIC_DEFAULT_BROKER_CONFIG"}
    of_one = {"name": NAME, "value": "3", "source": "DYNAMIC_BROKER_CONFIG"}

    async def shows(*synonyms: dict[str, str]) -> None:
        config = (await client.get(f"{where}/{NAME}")).json()
        assert config["synonyms"] == list(synonyms)
        assert (config["value"], config["source"]) == (synonyms[0]["value"], synonyms[0]["source"])
        assert config["is_default"] is (len(synonyms) == 1)

    await shows(default)
    response = await client.put(f"{shared}/{NAME}", json={"value": "2"})
    assert (response.status_code, response.content, "vary" in response.headers) == (204, b"", False)
    await shows(of_all, default)
    assert (await client.put(f"{where}/{NAME}", json={"value": 3})).status_code == 204
    await shows(of_one, of_all, default)
    await _compare(stack, ResourceType.BROKER, "1", (await client.get(where)).json()["data"])
    response = await client.delete(f"{where}/{NAME}")
    assert (response.status_code, response.content) == (204, b"")
    await shows(of_all, default)

    changes = [{"name": NAME, "value": "3"}, {"name": "compression.type", "operation": "DELETE"}]
    altered = await client.post(f"{where}:alter", json={"data": changes, "validate_only": True})
    assert (altered.status_code, altered.headers["vary"]) == (204, "Accept-Encoding")
    await shows(of_all, default)
    assert (await client.post(f"{where}:alter", json={"data": changes})).status_code == 204
    await shows(of_one, of_all, default)
    # All or none.
    changes = [{"name": NAME, "operation": "DELETE"}, {"name": "compression.type", "value": "nonsense"}]
    refused = await client.post(f"{where}:alter", json={"data": changes})
    assert (refused.status_code, refused.json()["error_code"]) == (400, 40002)
    await shows(of_one, of_all, default)
    assert (await client.post(f"{where}:alter", json={"data": []})).status_code == 204


async def test_configs_of_all_brokers(
    client: httpx.AsyncClient, cluster: str, broker: str, stack: BackgroundStack
) -> None:
    base = f"{client.base_url}".rstrip("/")
    where = f"{cluster}/broker-configs"
    assert (await client.get((await client.get(cluster)).json()["broker_configs"]["related"])).status_code == 200
    before = (await client.get(where)).json()
    assert (before["kind"], before["metadata"]) == (
        "KafkaClusterConfigList",
        {"self": f"{base}{where}", "next": None},
    )
    assert (await client.get(f"{where}/compression.type")).json() == NOT_FOUND
    assert (await client.put(f"{where}/compression.type", json={"value": "lz4"})).status_code == 204
    config = (await client.get(f"{where}/compression.type")).json()
    assert list(config) == [*MEMBERS, "config_type", "is_default"]
    synonym = {"name": "compression.type", "value": "lz4", "source": "DYNAMIC_DEFAULT_BROKER_CONFIG"}
    assert config == {
        "kind": "KafkaClusterConfig",
        "metadata": {
            "self": f"{base}{where}/compression.type",
            "resource_name": f"crn:///kafka={stack.cluster_id}/broker-config=compression.type",
        },
        "cluster_id": stack.cluster_id,
        **synonym,
        "is_read_only": False,
        "is_sensitive": False,
        "synonyms": [synonym],
        "config_type": "BROKER",
        "is_default": False,
    }
    after = (await client.get(where)).json()["data"]
    assert after == sorted([*before["data"], config], key=lambda entry: str(entry["name"]))
    assert (await client.delete(f"{where}/compression.type")).status_code == 204
    assert (await client.get(f"{where}/compression.type")).json() == NOT_FOUND
    gone = await client.delete(f"{where}/compression.type")
    message = f"Config compression.type cannot be found for BROKER  in cluster {stack.cluster_id}."
    assert (gone.status_code, gone.json()) == (404, {"error_code": 404, "message": message})

    changes = [{"name": NAME, "value": "2"}, {"name": "compression.type", "operation": "DELETE"}]
    assert (await client.post(f"{where}:alter", json={"data": changes, "validate_only": True})).status_code == 204
    assert (await client.get(where)).json() == before
    altered = await client.post(f"{where}:alter", json={"data": changes})
    assert (altered.status_code, altered.headers["vary"]) == (204, "Accept-Encoding")
    assert (await client.get(f"{where}/{NAME}")).json()["value"] == "2"


async def test_rejected_alterations(client: httpx.AsyncClient, cluster: str, broker: str) -> None:
    where, shared = f"{broker}/configs", f"{cluster}/broker-configs"
    before = [(await client.get(path)).json() for path in (where, shared)]
    null = f"Null value not supported for : {NAME}"
    for method, path, body, status, code in (
        *(("PUT", f"{at}/nope", {"value": "1"}, 404, 404) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", {"value": "x"}, 400, 40002) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", {"value": "-1"}, 400, 40002) for at in (where, shared)),
        *(("PUT", f"{at}/broker.id", {"value": "7"}, 400, 40002) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", {}, 400, 40002) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", {"value": [1]}, 400, 400) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", {"valeu": "1"}, 422, 422) for at in (where, shared)),
        *(("PUT", f"{at}/{NAME}", None, 422, 42206) for at in (where, shared)),
        *(("DELETE", f"{at}/nope", None, 404, 404) for at in (where, shared)),
        *(("GET", f"{at}/nope", None, 404, 404) for at in (where, shared)),
        *(("POST", f"{at}:alter", {}, 400, 400) for at in (where, shared)),
        *(("POST", f"{at}:alter", None, 422, 42206) for at in (where, shared)),
        *(("POST", f"{at}:alter", {"data": [{"value": "1"}]}, 400, 400) for at in (where, shared)),
        *(("POST", f"{at}:alter", {"data": [{"name": NAME}]}, 400, 40002) for at in (where, shared)),
        *(("POST", f"{at}:alter", {"data": [{"name": "no.pe", "value": "1"}]}, 404, 404) for at in (where, shared)),
        *(
            ("POST", f"{at}:alter", {"data": [{"name": NAME, "value": "2", "operation": "APPEND"}]}, 400, 400)
            for at in (where, shared)
        ),
        *(
            ("POST", f"{at}:alter", {"data": [{"name": NAME, "value": "2"}, {"name": NAME, "value": "3"}]}, 400, 40002)
            for at in (where, shared)
        ),
        ("GET", f"{cluster}/brokers/abc/configs", None, 400, 400),
        ("GET", f"{cluster}/brokers/2147483648/configs", None, 400, 400),
        ("GET", "/v3/clusters/nope/broker-configs", None, 404, 404),
        ("GET", "/v3/clusters/nope/brokers/1/configs", None, 404, 404),
        ("GET", "/v3/clusters/nope/brokers/-/configs", None, 404, 404),
    ):
        response = await client.request(method, path, json=body, headers=JSON)
        assert (response.status_code, response.json()["error_code"]) == (status, code), (method, path, body)
        if body == {}:
            assert response.json()["message"] in (null, "Missing required field: data")
    assert [(await client.get(path)).json() for path in (where, shared)] == before


async def test_configs_of_listeners_that_are_not_set_yet(client: httpx.AsyncClient, broker: str) -> None:
    async def validate(name: str) -> int:
        changes = [{"name": name, "value": "3"}]
        response = await client.post(f"{broker}/configs:alter", json={"data": changes, "validate_only": True})
        return response.status_code

    assert await validate("listener.name.external.max.connections") == 204
    assert await validate("listener.name.external.nope") == 404
    assert await validate("listener.name.") == 404


async def test_an_unknown_broker(client: httpx.AsyncClient, cluster: str) -> None:
    started = time.monotonic()
    for broker in ("99", "-1"):
        where = f"{cluster}/brokers/{broker}/configs"
        for method, path, body in (
            ("GET", where, None),
            ("GET", f"{where}/{NAME}", None),
            ("PUT", f"{where}/{NAME}", {"value": "2"}),
            ("DELETE", f"{where}/{NAME}", None),
            ("POST", f"{where}:alter", {"data": [{"name": NAME, "value": "2"}]}),
        ):
            response = await client.request(method, path, json=body)
            message = f"Broker {broker} cannot be found."
            assert (response.status_code, response.json()) == (404, {"error_code": 404, "message": message})
    assert time.monotonic() - started < 10


async def test_configs_of_a_topic(
    client: httpx.AsyncClient, cluster: str, broker: str, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(config={"compression.type": "gzip"})
    where = f"{cluster}/topics/{name}/configs"
    assert (await client.put(f"{cluster}/broker-configs/compression.type", json={"value": "lz4"})).status_code == 204
    assert (await client.put(f"{broker}/configs/compression.type", json={"value": "snappy"})).status_code == 204
    await _compare(stack, ResourceType.TOPIC, name, (await client.get(where)).json()["data"])
    config = (await client.get(f"{where}/compression.type")).json()
    assert (config["value"], config["source"], config["is_default"]) == ("gzip", "DYNAMIC_TOPIC_CONFIG", False)
    assert [(synonym["value"], synonym["source"]) for synonym in config["synonyms"]] == [
        ("gzip", "DYNAMIC_TOPIC_CONFIG"),
        ("snappy", "DYNAMIC_BROKER_CONFIG"),
        ("lz4", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        ("producer", "DEFAULT_CONFIG"),
    ]
    unknown = await client.put(f"{where}/nope", json={"value": "1"})
    message = f"Config nope cannot be found for TOPIC {name} in cluster {stack.cluster_id}."
    assert unknown.json() == {"error_code": 404, "message": message}
    altered = await client.post(f"{where}:alter", json={"data": [{"name": "nope", "value": "1"}]})
    assert altered.json() == NOT_FOUND


async def test_configs_of_several_topics_at_once(client: httpx.AsyncClient, cluster: str, topic: TopicFactory) -> None:
    where = f"{cluster}/topics/-/configs:alter"
    first, second = await topic(), await topic(config={"cleanup.policy": "compact"})

    async def values() -> list[str]:
        paths = (f"{first}/configs/retention.ms", f"{second}/configs/cleanup.policy")
        return [(await client.get(f"{cluster}/topics/{path}")).json()["value"] for path in paths]

    retention, policy = {"name": "retention.ms", "value": "1000"}, {"name": "cleanup.policy", "operation": "DELETE"}
    data = [{"topic_name": first, "configs": [retention]}, {"topic_name": second, "configs": [policy]}]
    before = await values()
    assert (await client.post(where, json={"data": data, "validate_only": True})).status_code == 204
    assert await values() == before
    response = await client.post(where, json={"data": data})
    assert (response.status_code, response.content) == (204, b"")
    assert await values() == ["1000", "delete"]

    # What Kafka rejects for one topic does not affect the others.
    data = [
        {"topic_name": first, "configs": [{"name": "retention.ms", "operation": "DELETE"}]},
        {"topic_name": second, "configs": [{"name": "cleanup.policy", "value": "nonsense"}]},
    ]
    for validate_only in (True, False):
        partly = await client.post(where, json={"data": data, "validate_only": validate_only})
        assert (partly.status_code, partly.headers["content-type"]) == (207, "application/json")
        message = "Invalid value nonsense for configuration cleanup.policy: String must be one of: compact, delete"
        assert partly.json() == {"failures": [{"topic_name": second, "error_code": 40002, "message": message}]}
    assert await values() == [before[0], "delete"]

    for body, status, code in (
        ({"data": [*data, {"topic_name": "no-such-topic", "configs": [retention]}]}, 404, 40403),
        ({"data": [{"topic_name": "bad name!", "configs": [retention]}]}, 400, 40002),
        ({"data": [{"topic_name": first, "configs": [{"name": "nope", "value": "1"}]}]}, 404, 404),
        ({"data": [{"topic_name": first, "configs": [{"name": "retention.ms"}]}]}, 400, 40002),
        ({"data": [{"topic_name": first}]}, 400, 400),
        ({"data": [{"configs": [retention]}]}, 400, 400),
        ({"data": {}}, 400, 400),
        ({}, 400, 400),
        ({"data": [], "bogus": 1}, 422, 422),
        (None, 422, 42206),
    ):
        response = await client.post(where, json=body, headers=JSON)
        assert (response.status_code, response.json()["error_code"]) == (status, code), body
    assert (await client.post(where, json={"data": []})).status_code == 204
    assert (await client.post(where, json={"data": [{"topic_name": first, "configs": []}]})).status_code == 204
    elsewhere = await client.post("/v3/clusters/nope/topics/-/configs:alter", json={"data": data})
    assert elsewhere.json() == {"error_code": 404, "message": "Cluster nope cannot be found."}


async def test_concurrent_alterations(client: httpx.AsyncClient, cluster: str, topic: TopicFactory) -> None:
    paths = (f"/topics/{await topic()}/configs", f"/brokers/1/configs/{NAME}", "/broker-configs")
    answers = await asyncio.gather(*(client.get(cluster + path) for path in paths * 30))
    assert {answer.status_code for answer in answers} == {200}


async def test_configs_of_three_brokers(three_brokers: BackgroundStack, gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "4000"}, on=three_brokers)
    cluster = f"/v3/clusters/{three_brokers.cluster_id}"
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:

        async def until(path: str, status: int, code: int | None = None) -> None:
            """Check that each response arrives in time, and wait for this one."""
            deadline = time.monotonic() + 40
            while True:
                started = time.monotonic()
                response = await client.get(cluster + path)
                assert time.monotonic() - started < 7
                if (response.status_code, response.json().get("error_code")) == (status, code):
                    return
                assert response.status_code == 500
                assert time.monotonic() < deadline, response.text
                await asyncio.sleep(0.3)

        for broker in (1, 2, 3):
            await until(f"/brokers/{broker}/configs", 200)
        changed = await client.put(f"{cluster}/brokers/2/configs/{NAME}", json={"value": "2"})
        assert changed.status_code == 204
        everything = (await client.get(f"{cluster}/brokers/-/configs")).json()["data"]
        places = [(config["broker_id"], config["name"]) for config in everything]
        assert places == sorted(places)
        assert {config["broker_id"]: config["value"] for config in everything if config["name"] == "broker.id"} == {
            broker: str(broker) for broker in (1, 2, 3)
        }
        threads = {config["broker_id"]: config["value"] for config in everything if config["name"] == NAME}
        assert threads == {1: "1", 2: "2", 3: "1"}
        assert (await client.delete(f"{cluster}/brokers/2/configs/{NAME}")).status_code == 204

        await three_brokers.pause_broker(2)
        started = time.monotonic()
        hung = await client.get(f"{cluster}/brokers/-/configs")
        assert (hung.status_code, hung.json()["error_code"]) in ((500, 50003), (200, None))
        assert time.monotonic() - started < 7
        # Kafka has given it up: it is known, and not there, and what the others say is complete.
        await until("/brokers/-/configs", 200)
        await until("/brokers/3/configs", 500, 50003)
        assert (await client.get(f"{cluster}/brokers/1/configs/{NAME}")).status_code == 200
        assert (await client.get(f"{cluster}/brokers/4/configs")).status_code == 404
        await three_brokers.resume_broker(2)
        await until("/brokers/3/configs", 200)
