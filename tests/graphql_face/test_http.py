"""GraphQL over HTTP: negotiation, errors, limits, and the GraphiQL page."""

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
METHODS = "GET, HEAD, POST, OPTIONS"
CHAIN = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(200))


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
    ("body", "code", "field"),
    [
        ({"query": "{ server { name }"}, "GRAPHQL_PARSE_FAILED", None),
        ({"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED", None),
        ({"query": "query A { server { name } } query B { server { name } }"}, "OPERATION_RESOLUTION_FAILURE", None),
        ({"query": "query A { server { name } }", "operationName": "B"}, "OPERATION_RESOLUTION_FAILURE", None),
        ({"query": "fragment F on Query { server { name } }"}, "OPERATION_RESOLUTION_FAILURE", None),
        ({"query": "query ($c: ID!) { cluster(clusterId: $c) { id } }"}, "BAD_USER_INPUT", "c"),
        ({"query": '{ cluster(clusterId: "x") { topics(first: "many") { totalCount } } }'},
         "GRAPHQL_VALIDATION_FAILED", None),
        ({"query": "{ clusters { topics(first: " + "9" * 5000 + ") { totalCount } } }"},
         "GRAPHQL_VALIDATION_FAILED", None),
        ({"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": [{}, {"timestamp": "yesterday"}]}}},
         "BAD_USER_INPUT", "input.records[1].timestamp"),
        ({"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": {"headers": BAD_BASE64}}}},
         "BAD_USER_INPUT", "input.records.headers.value"),
        ({"query": "query ($first: Int) { clusters { topics(first: $first) { totalCount } } }",
          "variables": {"first": "9" * 1_000_000}}, "BAD_USER_INPUT", "first"),
        ({"query": "subscription ($o: BigInt) { records(topicName: \"t\", from: OFFSET, offset: $o) { offset } }",
         "variables": {"o": "9" * 30}}, "NOT_ACCEPTABLE", None),
    ],
)  # fmt: skip
async def test_an_invalid_request(
    client: httpx.AsyncClient, body: dict[str, Any], code: str, field: str | None
) -> None:
    response = await client.post("/graphql", json=body, headers={"accept": NEWER})
    assert response.status_code == (406 if code == "NOT_ACCEPTABLE" else 400)
    answer = response.json()
    assert "data" not in answer
    extensions = answer["errors"][0]["extensions"]
    assert (extensions["code"], extensions.get("field")) == (code, field)
    assert "Traceback" not in response.text
    assert len(response.text) < 2000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"5", b'"x"', b"[]", b"null", b"{}", b"\xff", b'{"query": 5}', b"[" * 100_000,
     b'{"query": "{server{name}}", "variables": 5}', b'{"query": "{server{name}}", "operationName": 5}'],
)  # fmt: skip
async def test_a_malformed_body_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST", "errorCode": 400, "retriable": False}


@pytest.mark.parametrize("size", [0, 3_000_000])
async def test_a_number_that_is_out_of_range_is_named(client: httpx.AsyncClient, size: int) -> None:
    body = b'{"query":"{server{name}}","variables":{"input":{"text":"%b","records":[{},{"data":[1,-1e400]}]}}}'
    headers = {"content-type": "application/json"}
    response = await client.post("/graphql", content=body % (b"x" * size), headers=headers)
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert "-1e400 is out of range" in error["message"]
    assert error["extensions"]["field"] == "input.records[1].data[1]"
    response = await client.post("/graphql", content=b"[" * 100_000, headers=headers)
    assert "nested too deeply" in response.json()["errors"][0]["message"]
    response = await client.post("/graphql", content=b'{"query": nul}', headers=headers)
    assert "invalid character" in response.json()["errors"][0]["message"]


LONG = "long" * 1000


@pytest.mark.parametrize(
    "body",
    [
        {"query": f"{{ {LONG} }}"},
        {"query": f"{{ clusters({LONG}: 1) {{ clusterId }} }}"},
        {"query": f"{{ ...{LONG} }}"},
        {"query": f'{{ clusters "{LONG}" }}'},
        {"query": f'{{ clusters {{ topics(first: "{LONG}") {{ totalCount }} }} }}'},
        {"query": f'{{ clusters {{ topics(first: """it\'s {LONG}""") {{ totalCount }} }} }}'},
        {"query": f"query (${LONG}: Int!) {{ clusters {{ topics(first: ${LONG}) {{ totalCount }} }} }}",
         "variables": {LONG: "x"}},
        {"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": {LONG: 1}}}},
        {"query": PRODUCE, "variables": {"input": {"topicName": "t", "records": f"it's {LONG}"}}},
        {"query": "query A { server { name } }", "operationName": LONG},
    ],
)  # fmt: skip
async def test_at_most_200_characters_of_the_request_are_quoted(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    response = await client.post("/graphql", json=body)
    for error in response.json()["errors"]:
        assert "longlong" in error["message"] or "never used" in error["message"]
        for text in (error["message"], error["extensions"].get("field", "")):
            assert "long" * 50 not in text
            assert len(text) < 1000


async def test_media_types_of_bodies_are_case_insensitive_with_parameters(client: httpx.AsyncClient) -> None:
    document = '{ server { name } echo: cluster(clusterId: "\u00e9") { id } }'
    for content_type, encoding in [
        ("Application/JSON", "utf-8"),
        ("application/json ; charset=UTF-8", "utf-8"),
        ("application/json;charset=iso-8859-1", "latin-1"),
    ]:
        body = json.dumps({"query": document}, ensure_ascii=False).encode(encoding)
        response = await client.post("/graphql", content=body, headers={"content-type": content_type})
        assert response.status_code == 200, response.text
        assert response.json()["errors"][0]["extensions"]["metadata"] == {"clusterId": "\u00e9"}
    body = json.dumps({"query": document}).encode("utf-16")
    response = await client.post("/graphql", content=body, headers={"content-type": "application/json;charset=utf-16"})
    assert response.status_code == 415


async def test_an_empty_operation_name_in_a_url_is_ignored(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": "query A { server { name } }", "operationName": ""})
    assert response.json() == {"data": {"server": {"name": "kafka-facade"}}}


@pytest.mark.parametrize(
    ("query", "accept"),
    [
        ({"query": "{ server { name } }"}, "application/json"),
        ({}, "text/html"),
        ({"query": 'subscription { records(topicName: "_schemas") { offset } }'}, "text/event-stream"),
    ],
)
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, query: dict[str, str], accept: str) -> None:
    head = await client.head("/graphql", params=query, headers={"accept": accept})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith(accept)
    assert (await client.head("/graphql", params={"query": "mutation { createAcl }"})).status_code == 405


async def test_options_lists_the_supported_methods(client: httpx.AsyncClient) -> None:
    response = await client.options("/graphql")
    assert (response.status_code, response.headers["allow"]) == (200, METHODS)


async def test_errors_below_the_path_are_json(client: httpx.AsyncClient) -> None:
    for method, path, status in [
        ("GET", "/graphql/nothing", 404),
        ("POST", "/graphql/static/nothing", 405),
        ("GET", "/graphql/static/../nothing", 404),
    ]:
        response = await client.request(method, path)
        assert response.status_code == status
        assert response.json()["error_code"] == status
    assert (await client.get("/graphql/", params={"query": "{ server { name } }"})).status_code == 200


async def test_a_body_that_is_not_json(client: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "text/application/json"):
        response = await client.post("/graphql", content=b"{}", headers={"content-type": content_type})
        assert response.status_code == 415
        assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_query_by_hash_returns_persisted_query_not_supported(client: httpx.AsyncClient) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "00"}}
    for response in (
        await client.post("/graphql", json={"extensions": extensions}, headers={"accept": f"{NEWER}, */*;q=0.1"}),
        await client.get("/graphql", params={"extensions": json.dumps(extensions)}),
    ):
        assert response.status_code == 200
        assert "no-cache" in response.headers["cache-control"]
        [error] = response.json()["errors"]
        assert error["message"] == "PersistedQueryNotSupported"
        assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
    whole = await client.post("/graphql", json={"query": "{ server { name } }", "extensions": extensions})
    assert whole.json() == {"data": {"server": {"name": "kafka-facade"}}}


async def test_errors_have_the_path_of_the_invalid_field(client: httpx.AsyncClient) -> None:
    document = '{ clusters { topics(after: "no cursor") { totalCount } } }'
    [error] = (await client.post("/graphql", json={"query": document})).json()["errors"]
    assert error["extensions"]["field"] == "after"
    assert "page" not in error["message"]
    document = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }"
    variables = {"input": {"clusterId": "no cluster", "topicName": "t"}}
    [error] = (await client.post("/graphql", json={"query": document, "variables": variables})).json()["errors"]
    assert error["extensions"]["metadata"] == {"clusterId": "no cluster"}


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream",
        "text/event-stream, application/json;q=0.5",
        "text/*;q=0.1, text/event-stream;q=0.9",
    ],
)
async def test_a_query_as_a_stream_of_events(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.post("/graphql", json={"query": "{ server { name } }"}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    # Some clients take "\n\n" alone for the end of an event.
    assert "\r" not in response.text
    assert [event for event in _events(response.text) if event] == [
        ("next", {"data": {"server": {"name": "kafka-facade"}}}),
        ("complete", None),
    ]
    failed = await client.post("/graphql", json={"query": "{ nope }"}, headers={"accept": accept})
    (kind, answer), end = _events(failed.text)
    assert (kind, end) == ("next", ("complete", None))
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    syntax = await client.post("/graphql", json={"query": "{"}, headers={"accept": accept})
    assert _events(syntax.text)[0][1]["errors"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"


def _events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream as the HTML standard has them, without comments."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"]) if fields.get("data") else None))
    return found


async def test_an_accept_header_that_is_not_supported(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": "{ server { name } }"}, headers={"accept": "image/png"})
    assert response.status_code == 406
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"


async def test_mutations_over_get_are_rejected(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": "mutation { createAcl }"})
    assert response.status_code == 405
    assert response.headers["allow"] == METHODS
    assert response.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"
    assert (await client.put("/graphql")).status_code == 405


async def test_a_subscription_needs_a_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", json={"query": 'subscription { records(topicName: "t") { offset } }'})
    assert response.status_code == 406
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"


@pytest.mark.parametrize(
    ("options", "document", "message"),
    [
        (GraphQLOptions(max_document_bytes=30), "{ server { name } } # and so on", "longer than 30 bytes"),
        (GraphQLOptions(max_cost=300), "{ clusters { topics { nodes { id topicName isInternal } } } }", "costs 403,"),
        (
            GraphQLOptions(max_depth=3),
            "{ clusters { brokers { cluster { brokers { host } } } } }",
            "deeper than 3",
        ),
        (GraphQLOptions(max_aliases=1), "{ a: server { name } b: server { name } }", "more than 1 aliases"),
        (GraphQLOptions(max_tokens=5), "{ server { name version } }", "more than 5 tokens"),
        (GraphQLOptions(max_aliases=9), BOMB, "more than 9 aliases"),
        (GraphQLOptions(), "{ clusters " * 900, "nested too deeply"),
        (
            GraphQLOptions(),
            "{ ...F0 } fragment F200 on Query { server { name } } " + CHAIN,
            "repeats fields or fragments",
        ),
        (GraphQLOptions(introspection=False), "{ __schema { types { name } } }", "introspection has been disabled"),
    ],
)
async def test_limits(local: Any, options: GraphQLOptions, document: str, message: str) -> None:
    async with local.client(options) as client:
        response = await client.post("/graphql", json={"query": document}, headers={"accept": NEWER})
    assert response.status_code == 400
    errors = response.json()["errors"]
    assert len(errors) <= 2
    error = errors[0]
    assert message in error["message"]
    codes = ("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "PAYLOAD_TOO_LARGE")
    assert error["extensions"]["code"] in codes


async def test_a_response_that_would_be_too_large(local: Any) -> None:
    document = "{ clusters { brokers { cluster { brokers { cluster { brokers { host } } } } } } }"
    async with local.client(GraphQLOptions(max_objects=4)) as client:
        response = await client.post("/graphql", json={"query": document}, headers={"accept": NEWER})
        assert response.status_code == 200
        answer = response.json()
        assert answer["data"] is None
        [error] = answer["errors"]
        assert "more than 4 objects" in error["message"]
        many = " ".join(f"a{n}: clusters {{ clusterId }}" for n in range(29))
        answer = (await client.post("/graphql", json={"query": f"{{ {many} }}"})).json()
        assert len(answer["errors"]) == 1
        assert "errors" not in (await client.post("/graphql", json={"query": "{ clusters { clusterId } }"})).json()


async def test_a_body_over_the_limit(local: Any) -> None:
    async with local.client(GraphQLOptions(max_body_bytes=1000)) as client:
        assert (await client.post("/graphql", json={"query": "{ server { name } }"})).status_code == 200
        response = await client.post("/graphql", json={"query": "{ server { name } }" + " " * 1000})
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_browser_gets_graphiql_and_its_assets(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    script = "graphiql.js" if ide.is_built() else "main.js"
    assert f'src="/graphql/static/{script}"' in page.text
    asset = await client.get(f"/graphql/static/{script}")
    assert asset.status_code == 200
    assert asset.headers["cache-control"] == "no-cache"
    again = await client.get(f"/graphql/static/{script}", headers={"if-none-match": asset.headers["etag"]})
    assert again.status_code == 304


async def test_graphiql_can_be_disabled(local: Any) -> None:
    async with local.client(GraphQLOptions(path="/graph/ql", graphiql=False)) as client:
        assert (await client.get("/graph/ql", headers={"accept": "text/html"})).status_code == 400
        assert (await client.get("/graph/ql/static/main.js")).status_code == 404
        assert (await client.post("/graph/ql", json={"query": "{ server { name } }"})).status_code == 200


def test_without_assets_graphiql_uses_pinned_versions_from_a_cdn(
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
