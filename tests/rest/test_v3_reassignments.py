"""v3 reassignments: none, and invalid requests. tests/faces has ongoing ones."""

from typing import Any

import httpx


async def test_no_reassignments(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    base = f"{client.base_url}".rstrip("/")
    name = await topic(partitions=2)
    for of in ("-", name, "no-such-topic", "no%20topic"):
        where = f"{cluster}/topics/{of}/partitions/-/reassignment"
        response = await client.get(where)
        expected = {"kind": "KafkaReassignmentList", "metadata": {"self": base + where, "next": None}, "data": []}
        assert (response.status_code, response.json()) == (200, expected)
    for path in (
        f"{name}/partitions/0",
        f"{name}/partitions/99",
        f"{name}/partitions/-1",
        "no-such-topic/partitions/0",
    ):
        response = await client.get(f"{cluster}/topics/{path}/reassignment")
        missing = {"error_code": 404, "message": "HTTP 404 Not Found"}
        assert (response.status_code, response.json()) == (404, missing), path


async def test_invalid_requests(client: httpx.AsyncClient, cluster: str) -> None:
    for partition in ("x", "1.5", "99999999999"):
        response = await client.get(f"{cluster}/topics/t/partitions/{partition}/reassignment")
        assert (response.status_code, response.json()["error_code"]) == (400, 400)
    for path in ("-/partitions/-", "t/partitions/-", "t/partitions/0"):
        response = await client.get(f"/v3/clusters/nope/topics/{path}/reassignment")
        assert response.json() == {"error_code": 404, "message": "Cluster nope cannot be found."}
        assert (await client.post(f"{cluster}/topics/{path}/reassignment", json={})).status_code == 405
