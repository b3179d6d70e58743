import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.catalogue import CATALOGUE, OPERATIONS
from kafka_facade.core.errors import NotAcceptable, UnsupportedMediaType
from kafka_facade.rest.negotiation import choose, contract_for
from kafka_facade.web.media_types import parse_media_type

V2 = "application/vnd.kafka.v2+json"
OFFERS = (V2, "application/vnd.kafka+json", "application/json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, V2),
        ("", V2),
        ("*/*", V2),
        ("application/*", V2),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/vnd.kafka+json", "application/vnd.kafka+json"),
        (f"{V2}; q=0.9, application/json; q=0.5", V2),
        ("application/json;q=0.1, application/vnd.kafka.v2+json", V2),
        (f"{V2};q=0.1, application/json", "application/json"),
        (f"{V2};q=0, */*;q=0.5", "application/vnd.kafka+json"),
        ("text/html, */*;q=0.1", V2),
        ("bogus, application/json", "application/json"),
        ("text/html", None),
        ("bogus", None),
        ("application/vnd.kafka.v1+json", None),
        ("application/vnd.kafka.json.v2+json", None),
        ("application/json;q=0", None),
        ("application/json;q=2", None),
    ],
)
def test_accept(accept: str | None, chosen: str | None) -> None:
    assert choose(accept, OFFERS) == (None if chosen is None else (chosen, chosen))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (f"{V2}; charset=utf-8", f"{V2};charset=utf-8"),
        (f"{V2}; charset=UTF-8; q=0.5", f"{V2};charset=UTF-8"),
        (f'{V2};charset="utf-8"', f"{V2};charset=utf-8"),
        (f"{V2}; version=2 ; Charset=us-ascii;q=1", f"{V2};charset=us-ascii;version=2"),
        (f"{V2};charset=utf-16", V2),
        (f"{V2};charset=", V2),
        (f'{V2};a="b c"', V2),
        (f"{V2};a=b=c;=d;e", V2),
        ("*/*;charset=utf-8", V2),
        ("application/*;charset=utf-8", V2),
    ],
)
def test_an_answer_repeats_the_parameters_of_its_type(accept: str, content_type: str) -> None:
    assert choose(accept, OFFERS) == (V2, content_type)


@given(st.text())
def test_no_accept_header_is_an_error(accept: str) -> None:
    chosen = choose(accept, OFFERS)
    assert chosen is None or (chosen[0] in OFFERS and chosen[1].isprintable())


@given(st.text())
def test_no_content_type_is_an_error(text: str) -> None:
    parsed = parse_media_type(text)
    assert parsed is None or "/" in parsed.type


def _sharing(identifier: str):  # type: ignore[no-untyped-def]
    first = CATALOGUE[identifier]
    return contract_for([row for row in OPERATIONS if (row.method, row.path) == (first.method, first.path)])


@pytest.mark.parametrize(
    ("content_type", "operation"),
    [
        (None, "binary"),
        ("application/vnd.kafka.binary.v2+json", "binary"),
        ("application/vnd.kafka.json.v2+json", "json"),
        ("application/vnd.kafka.json.v2+json; charset=UTF-8", "json"),
        ("application/vnd.kafka.avro.v2+json", "avro"),
        ("application/vnd.kafka.jsonschema.v2+json", "json-schema"),
        ("application/vnd.kafka.protobuf.v2+json", "protobuf"),
        ("application/vnd.kafka.v2+json", "binary"),
        ("application/vnd.kafka+json", "binary"),
        ("application/json", "binary"),
        ("application/octet-stream", "binary"),
    ],
)
def test_the_content_type_selects_the_format_of_v2_produce(content_type: str | None, operation: str) -> None:
    chosen, answer = _sharing("api.v2.produce-to-topic.json").select(content_type, None)
    assert chosen.identifier == f"api.v2.produce-to-topic.{operation}"
    assert answer == V2


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/vnd.kafka.json.v1+json",
        "application/x-www-form-urlencoded",
        "application/*",
        "x",
        "application/vnd.kafka.json.v2+json; charset=utf-16",
    ],
)
def test_other_content_types_are_rejected(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        _sharing("api.v2.produce-to-topic.json").select(content_type, None)


@pytest.mark.parametrize(
    ("accept", "operation", "answer"),
    [
        (None, "binary", "application/vnd.kafka.binary.v2+json"),
        ("*/*", "binary", "application/vnd.kafka.binary.v2+json"),
        ("application/vnd.kafka.json.v2+json", "json", "application/vnd.kafka.json.v2+json"),
        ("application/vnd.kafka.avro.v2+json", "avro", "application/vnd.kafka.avro.v2+json"),
        ("application/vnd.kafka.jsonschema.v2+json", "json-schema", "application/vnd.kafka.jsonschema.v2+json"),
        (V2, "binary", V2),
        ("application/json", "binary", "application/json"),
    ],
)
def test_accept_selects_the_format_of_v2_records(accept: str | None, operation: str, answer: str) -> None:
    chosen = _sharing("api.v2.consumers.consume-json").select(None, accept)
    assert (chosen[0].identifier, chosen[1]) == (f"api.v2.consumers.consume-{operation}", answer)


def test_v3_supports_only_plain_json() -> None:
    contract = _sharing("api.v3.topics.create")
    assert contract.select("application/json", "*/*")[1] == "application/json"
    with pytest.raises(NotAcceptable):
        contract.select("application/json", V2)
    with pytest.raises(UnsupportedMediaType):
        contract.select("application/vnd.kafka.json.v2+json", None)
