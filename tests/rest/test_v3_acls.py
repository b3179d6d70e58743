"""v3 ACLs: filters, links, deleted ACLs, and invalid requests."""

import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from confluent_kafka.admin import (
    AclOperation,
)

from denial import CLUSTER, denied
from kafka_facade_devstack.background import BackgroundStack

JSON = {"content-type": "application/json"}
ANY = {"resource_type": "ANY", "pattern_type": "ANY", "operation": "ANY", "permission": "ANY"}
MEMBERS = ("resource_type", "resource_name", "pattern_type", "principal", "host", "operation", "permission")


def acl(principal: str, **changes: Any) -> dict[str, Any]:
    whole = {
        "resource_type": "TOPIC",
        "resource_name": "acl-topic",
        "pattern_type": "LITERAL",
        "principal": principal,
        "host": "*",
        "operation": "READ",
        "permission": "ALLOW",
    }
    return whole | changes


@pytest.fixture
async def principal(client: httpx.AsyncClient, cluster: str) -> AsyncIterator[str]:
    """A principal of the test's own; its ACLs go with the test."""
    name = f"User:rest-{uuid.uuid4().hex[:12]}"
    yield name
    response = await client.delete(f"{cluster}/acls", params=ANY | {"principal": name})
    assert response.status_code == 200, response.text


async def test_create_list_and_delete_an_acl(client: httpx.AsyncClient, cluster: str, principal: str) -> None:
    base = f"{client.base_url}".rstrip("/")
    where = f"{base}{cluster}/acls"
    quoted = principal.replace(":", "%3A")
    nothing = (await client.get(f"{cluster}/acls", params={"principal": principal})).json()
    query = f"resource_type=ANY&resource_name=&pattern_type=ANY&principal={quoted}&host=&operation=ANY&permission=ANY"
    assert nothing == {"kind": "KafkaAclList", "metadata": {"self": f"{where}?{query}", "next": None}, "data": []}

    body = acl(
        principal, resource_name="a b~é*", pattern_type="PREFIXED", host="10.0.0.1", operation="DESCRIBE_CONFIGS"
    )
    created = await client.post(f"{cluster}/acls", json=body)
    link = (
        f"{where}?resource_type=TOPIC&resource_name=a+b%7E%C3%A9*&pattern_type=PREFIXED&principal={quoted}"
        "&host=10.0.0.1&operation=DESCRIBE_CONFIGS&permission=ALLOW"
    )
    assert (created.status_code, created.content, created.headers["location"]) == (201, b"", link)
    assert "content-type" not in created.headers
    found = (await client.get(link)).json()
    assert found["metadata"] == {"self": link, "next": None}
    [entry] = found["data"]
    assert list(entry) == ["kind", "metadata", "cluster_id", *MEMBERS]
    assert (entry["kind"], entry["metadata"], entry["cluster_id"]) == (
        "KafkaAcl",
        {"self": link},
        cluster.rsplit("/", 1)[1],
    )
    assert {name: entry[name] for name in MEMBERS} == body
    # The same once more changes nothing.
    assert (await client.post(f"{cluster}/acls", json=body)).status_code == 201
    assert (await client.get(link)).json() == found

    deleted = await client.delete(link)
    assert (deleted.status_code, deleted.json()) == (200, {"data": [entry]})
    assert "vary" not in deleted.headers
    assert (await client.get(link)).json()["data"] == []
    assert (await client.delete(link)).json() == {"data": []}


async def test_every_filter_and_the_order(client: httpx.AsyncClient, cluster: str, principal: str) -> None:
    wanted = [
        acl(principal, resource_name="a-1"),
        acl(principal, resource_name="a-1", operation="WRITE", permission="DENY"),
        acl(principal, resource_name="a-1", operation="WRITE"),
        acl(principal, resource_name="a-", pattern_type="PREFIXED", host="1.2.3.4"),
        acl(principal, resource_type="GROUP", resource_name="a-1", operation="ALL"),
        acl(principal, resource_type="TRANSACTIONAL_ID", resource_name="t"),
        acl(principal, resource_type="DELEGATION_TOKEN", resource_name="token", operation="DESCRIBE"),
        acl(principal, resource_type="USER", resource_name="User:x", operation="CREATE_TOKENS"),
    ]
    ordered = [wanted[place] for place in (3, 0, 1, 2, 4, 5, 6, 7)]
    created = await client.post(f"{cluster}/acls:batch", json={"data": list(reversed(wanted))})
    assert (created.status_code, created.content) == (201, b"")
    assert "content-type" not in created.headers

    async def matching(**filters: str) -> list[dict[str, Any]]:
        response = await client.get(f"{cluster}/acls", params={"principal": principal, **filters})
        assert response.status_code == 200, response.text
        return [{name: entry[name] for name in MEMBERS} for entry in response.json()["data"]]

    assert await matching() == ordered
    assert await matching(**ANY, resource_name="", host="") == ordered
    assert await matching(resource_type="topic") == ordered[:4]
    assert await matching(resource_type="Delegation_Token") == [ordered[6]]
    assert await matching(resource_type="USER") == [ordered[7]]
    assert await matching(operation="CREATE_TOKENS") == [ordered[7]]
    assert await matching(resource_name="a-1") == [ordered[1], ordered[2], ordered[3], ordered[4]]
    assert await matching(resource_name="a-1", pattern_type="MATCH", resource_type="TOPIC") == ordered[:4]
    assert await matching(pattern_type="PREFIXED") == [ordered[0]]
    assert await matching(host="1.2.3.4") == [ordered[0]]
    assert await matching(permission="deny") == [ordered[2]]
    assert await matching(operation="WRITE", permission="ALLOW") == [ordered[3]]
    assert await matching(operation="WRITE", host="1.2.3.4") == []
    everyone = (await client.get(f"{cluster}/acls")).json()["data"]
    assert [entry for entry in everyone if entry["principal"] == principal] == [
        entry for entry in everyone if entry["principal"].startswith(principal)
    ]
    for entry in everyone:
        found = (await client.get(entry["metadata"]["self"])).json()["data"]
        assert entry in found

    gone = await client.delete(
        f"{cluster}/acls", params=ANY | {"resource_type": "TOPIC", "resource_name": "a-1", "principal": principal}
    )
    assert [{name: entry[name] for name in MEMBERS} for entry in gone.json()["data"]] == ordered[1:4]
    assert await matching() == [ordered[0], *ordered[4:]]
    gone = await client.delete(f"{cluster}/acls", params=ANY | {"principal": principal})
    assert [{name: entry[name] for name in MEMBERS} for entry in gone.json()["data"]] == [ordered[0], *ordered[4:]]
    assert await matching() == []


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"resource_type": "ANY"}, 400, "resource_type cannot be ANY"),
        ({"resource_type": "UNKNOWN"}, 400, "resource_type cannot be UNKNOWN"),
        ({"pattern_type": "ANY"}, 400, "pattern_type cannot be ANY"),
        ({"pattern_type": "MATCH"}, 400, "pattern_type cannot be MATCH"),
        ({"operation": "ANY"}, 400, "operation cannot be ANY"),
        ({"permission": "ANY"}, 400, "permission cannot be ANY"),
        ({"resource_type": "topic"}, 400, None),
        ({"resource_type": "NOPE"}, 400, None),
        ({"operation": 3}, 400, None),
        ({"resource_name": None}, 400, None),
        ({"principal": ["User:x"]}, 400, None),
        ({"principal": ""}, 40002, None),
        (
            {"principal": "alice"},
            40002,
            "Could not parse principal from `alice` "
            "(no colon is present separating the principal type from the principal name)",
        ),
        ({"resource_name": ""}, 40002, None),
        ({"resource_name": "a\0b"}, 40002, None),
        (
            {"resource_type": "CLUSTER"},
            40002,
            "The only valid name for the CLUSTER resource is kafka-cluster",
        ),
        ({"resource_type": "USER", "principal": "alice"}, 40002, None),
    ],
)
async def test_invalid_acls(
    client: httpx.AsyncClient, cluster: str, principal: str, changes: dict[str, Any], code: int, message: str | None
) -> None:
    before = (await client.get(f"{cluster}/acls")).json()["data"]
    bad = acl(principal) | changes
    for path, body in ((f"{cluster}/acls", bad), (f"{cluster}/acls:batch", {"data": [bad]})):
        response = await client.post(path, json=body)
        assert (response.status_code, response.json()["error_code"]) == (400, code), response.text
        assert message in (None, response.json()["message"])
        assert "Traceback" not in response.text
    assert (await client.get(f"{cluster}/acls")).json()["data"] == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, 42206),
        (b"null", 422, 42206),
        (b"{bad", 400, 400),
        (b"[]", 400, 400),
        (b'"x"', 400, 400),
        (b'{"bogus":1}', 422, 422),
        (b"[" * 100_000, 400, 400),
    ],
)
@pytest.mark.parametrize("path", ["acls", "acls:batch"])
async def test_malformed_bodies(
    client: httpx.AsyncClient, cluster: str, path: str, body: bytes, status: int, code: int
) -> None:
    response = await client.post(f"{cluster}/{path}", headers=JSON, content=body)
    assert (response.status_code, response.json()["error_code"]) == (status, code)


async def test_missing_members(client: httpx.AsyncClient, cluster: str) -> None:
    for name in MEMBERS:
        body = {other: value for other, value in acl("User:x").items() if other != name}
        response = await client.post(f"{cluster}/acls", json=body)
        assert response.json() == {"error_code": 400, "message": f"Missing required field: {name}"}
    for batch in ({}, {"data": None}):
        response = await client.post(f"{cluster}/acls:batch", json=batch)
        message = "Payload error. Empty input provided. Data is required."
        assert (response.status_code, response.json()) == (422, {"error_code": 42206, "message": message})
    assert (await client.post(f"{cluster}/acls:batch", json={"data": []})).status_code == 201
    assert (await client.post(f"{cluster}/acls:batch", json={"data": [1]})).status_code == 400


async def test_a_batch_with_an_acl_that_kafka_rejects(client: httpx.AsyncClient, cluster: str, principal: str) -> None:
    batch = [acl("nobody"), acl(principal, resource_name="kept")]
    response = await client.post(f"{cluster}/acls:batch", json={"data": batch})
    assert (response.status_code, response.json()["error_code"]) == (400, 40002)
    batch = [acl(principal, resource_name="never"), acl(principal, operation="ANY")]
    response = await client.post(f"{cluster}/acls:batch", json={"data": batch})
    assert (response.status_code, response.json()["error_code"]) == (400, 400)
    names = set()
    for _ in range(100):
        found = (await client.get(f"{cluster}/acls", params={"principal": principal})).json()["data"]
        names = {entry["resource_name"] for entry in found}
        if names:
            break
    assert names == {"kept"}


async def test_invalid_filters(client: httpx.AsyncClient, cluster: str) -> None:
    shown = {"resource_type": "ResourceType", "pattern_type": "PatternType"}
    for name in ("resource_type", "pattern_type", "operation", "permission"):
        kind = shown.get(name, name.capitalize())
        for value in ("bogus", ""):
            for method in ("GET", "DELETE"):
                response = await client.request(method, f"{cluster}/acls", params=ANY | {name: value})
                message = f"The valid values for {kind} do not include '{value}'"
                assert (response.status_code, response.json()) == (400, {"error_code": 400, "message": message})
        unknown = await client.get(f"{cluster}/acls", params={name: "unknown"})
        assert (unknown.status_code, unknown.json()["message"]) == (400, f"{name} cannot be UNKNOWN")
        for given in ({}, {name: "UNKNOWN"}):
            filters = {other: value for other, value in ANY.items() if other != name} | given
            response = await client.delete(f"{cluster}/acls", params=filters)
            message = f"{name} cannot be unspecified or UNKNOWN"
            assert (response.status_code, response.json()) == (400, {"error_code": 400, "message": message})
    odd = await client.get(f"{cluster}/acls", params={"principal": "a\0b"})
    assert (odd.status_code, odd.json()["error_code"]) == (400, 40002)
    assert (await client.get(f"{cluster}/acls", params={"principal": "no colon", "more": "x"})).json()["data"] == []


async def test_another_cluster(client: httpx.AsyncClient) -> None:
    expected = {"error_code": 404, "message": "Cluster nope cannot be found."}
    for method, path, body, params in (
        ("GET", "acls", None, {}),
        ("DELETE", "acls", None, ANY),
        ("POST", "acls", acl("User:x"), {}),
        ("POST", "acls:batch", {"data": [acl("User:x")]}, {}),
    ):
        response = await client.request(method, f"/v3/clusters/nope/{path}", json=body, params=params)
        assert (response.status_code, response.json()) == (404, expected)


async def test_methods_and_types(client: httpx.AsyncClient, cluster: str) -> None:
    wrong = await client.put(f"{cluster}/acls", json={})
    assert (wrong.status_code, set(wrong.headers["allow"].split(","))) == (
        405,
        {"HEAD", "DELETE", "POST", "GET", "OPTIONS"},
    )
    assert (await client.get(f"{cluster}/acls:batch")).status_code == 405
    text = await client.post(f"{cluster}/acls", headers={"content-type": "text/plain"}, content=b"{}")
    assert text.status_code == 415
    assert (await client.get(f"{cluster}/acls", headers={"accept": "text/html"})).status_code == 406


async def test_operations_that_kafka_does_not_authorize(
    client: httpx.AsyncClient, cluster: str, stack: BackgroundStack
) -> None:
    forbidden = {"error_code": 40301, "message": "Request is not authorized"}
    async with denied(stack, (*CLUSTER, AclOperation.ALL)):
        for method, path, body in (
            ("GET", "acls", None),
            ("GET", "acls?resource_type=USER", None),
            ("DELETE", "acls?" + urlencode(ANY), None),
            ("POST", "acls", acl("User:x")),
            ("POST", "acls", acl("User:x", resource_type="DELEGATION_TOKEN")),
            ("POST", "acls:batch", {"data": [acl("User:x")]}),
            ("GET", "topics/-/partitions/-/reassignment", None),
        ):
            response = await client.request(method, f"{cluster}/{path}", json=body)
            assert (response.status_code, response.json()) == (403, forbidden), (method, path)
    assert (await client.get(f"{cluster}/acls", params={"principal": "User:ANONYMOUS"})).json()["data"] == []
