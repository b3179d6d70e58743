"""GraphQL over HTTP: negotiation, refusals, limits, and the GraphiQL page."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka_facade_graphql import ide
from kafka_facade_graphql.options import GraphQLOptions

# Filled in, its fragments are 2^60 fields.
BOMB = "{ clusters { ...F0 } } fragment F60 on Cluster { a: clusterId } " + " ".join(
    f"fragment F{n} on Cluster {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60)
)
PRODUCE = "mutation ($input: ProduceRecordsInput!) { produceRecords(input: $input) { results { error { code } } } }"
BAD_BASE64 = {"name": "h", "value": "*"}
NEWER = "application/graphql-response+json"


async def test_the_response_type_is_negotiated(client: httpx.AsyncClient) -> None:
    body = {"query": "{ server { name } }"}
    for accept, expected in [
        (NEWER, NEWER),
        (f"{NEWER}, application/json;q=0.9", NEWER),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
    ]:
        response = await client.post("/graphql", json=body, headers={"accept": accept})
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{expected}; charset=utf-8"
        assert response.json() == {"data": {"server": {"name": "kafka-facade"}}}


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{ server { name }"},
        {"query": "{ nope }"},
        {"query": "query A { server { name } } query B { server { name } }"},
        {"query": "query A { server { name } }", "operationName": "B"},
        {"query": "query ($c: ID!) { cluster(clusterId: $c) { id } }"},
        {"query": '{ cluster(clusterId: "x") { topics(first: "many") { totalCount } } }'},
        {"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": [{"timestamp": "yesterday"}]}}},
        {"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": {"headers": BAD_BASE64}}}},
        {"query": "subscription ($o: BigInt) { records(topicName: \"t\", from: OFFSET, offset: $o) { offset } }",
         "variables": {"o": "9" * 30}},
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_executed(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/graphql", json=body, headers={"accept": NEWER})
    assert response.status_code in (400, 406)
    answer = response.json()
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] in ("MALFORMED_BODY", "NOT_ACCEPTABLE")
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"5", b'"x"', b"[]", b"null", b"{}", b"\xff", b'{"query": 5}', b"[" * 100_000,
     b'{"query": "{server{name}}", "variables": 5}', b'{"query": "{server{name}}", "operationName": 5}'],
)  # fmt: skip
async def test_a_body_of_another_form_is_a_clean_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "MALFORMED_BODY", "errorCode": 400, "retriable": False}


async def test_no_mutation_over_get(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": "mutation { createAcl }"})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert response.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"
    assert (await client.put("/graphql")).status_code == 405


async def test_a_subscription_needs_a_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": 'subscription { records(topicName: "t") { offset } }'})
    assert response.status_code == 406
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"


@pytest.mark.parametrize(
    ("options", "document", "message"),
    [
        (
            GraphQLOptions(max_depth=3),
            "{ clusters { brokers { cluster { brokers { host } } } } }",
            "deeper than 3",
        ),
        (GraphQLOptions(max_aliases=1), "{ a: server { name } b: server { name } }", "more than 1 aliases"),
        (GraphQLOptions(max_tokens=5), "{ server { name version } }", "more than 5 tokens"),
        (GraphQLOptions(max_aliases=9), BOMB, "more than 9 aliases"),
        (GraphQLOptions(), "{ clusters " * 900, "nested too deeply"),
        (GraphQLOptions(introspection=False), "{ __schema { types { name } } }", "introspection has been disabled"),
    ],
)
async def test_limits(local: Any, options: GraphQLOptions, document: str, message: str) -> None:
    async with local.client(options) as client:
        response = await client.post("/graphql", json={"query": document}, headers={"accept": NEWER})
    assert response.status_code == 400
    error = response.json()["errors"][0]
    assert message in error["message"]
    assert error["extensions"]["code"] == "MALFORMED_BODY"


async def test_an_answer_that_would_be_too_large(local: Any) -> None:
    document = "{ clusters { brokers { cluster { brokers { cluster { brokers { host } } } } } } }"
    async with local.client(GraphQLOptions(max_objects=4)) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
        assert "more than 4 objects" in answer["errors"][0]["message"]
        assert "errors" not in (await client.post("/graphql", json={"query": "{ clusters { clusterId } }"})).json()


async def test_a_body_over_the_limit(local: Any) -> None:
    async with local.client(GraphQLOptions(max_body_bytes=1000)) as client:
        assert (await client.post("/graphql", json={"query": "{ server { name } }"})).status_code == 200
        response = await client.post("/graphql", json={"query": "{ server { name } }" + " " * 1000})
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_browser_gets_the_page_and_its_assets(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    script = "graphiql.js" if ide.is_built() else "main.js"
    assert f'src="/graphql/static/{script}"' in page.text
    asset = await client.get(f"/graphql/static/{script}")
    assert asset.status_code == 200
    assert asset.headers["cache-control"] == "no-cache"
    again = await client.get(f"/graphql/static/{script}", headers={"if-none-match": asset.headers["etag"]})
    assert again.status_code == 304


async def test_the_page_can_be_turned_off(local: Any) -> None:
    async with local.client(GraphQLOptions(path="/graph/ql", graphiql=False)) as client:
        assert (await client.get("/graph/ql", headers={"accept": "text/html"})).status_code == 400
        assert (await client.get("/graph/ql/static/main.js")).status_code == 404
        assert (await client.post("/graph/ql", json={"query": "{ server { name } }"})).status_code == 200


def test_without_a_bundle_the_page_takes_the_pinned_versions_from_the_cdn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ide, "STATIC", tmp_path)
    text = ide.page("/graphql")
    imports = json.loads(text.partition('<script type="importmap">')[2].partition("</script>")[0])["imports"]
    versions = json.loads((ide.SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in versions.items():
        assert f"/{name}@{version}" in imports[name]
    assert 'src="/graphql/static/main.js"' in text
    assert (ide.assets() / "main.js").is_file()
