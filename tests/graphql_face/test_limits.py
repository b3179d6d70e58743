"""Costs of documents, the time to compute them, and the cache of documents."""

import gc
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_introspection_query, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_facade.core.errors import FacadeError
from kafka_facade_graphql.documents import Documents
from kafka_facade_graphql.limits import LimitError, Measure, Size, check_repetition
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.schema import create_schema
from machine_speed import slowness

SCHEMA = create_schema(GraphQLOptions())._schema
PRODUCE = "mutation ($input: ProduceRecordsInput!) { produceRecords(input: $input) { results { error { code } } } }"


def _size(document: str, **variables: Any) -> Size:
    node = parse(document)
    [operation] = [entry for entry in node.definitions if isinstance(entry, OperationDefinitionNode)]
    return Measure(SCHEMA, node, variables).operation(operation)


@pytest.mark.parametrize(
    ("document", "cost"),
    [
        ("{ server { name version } }", 3),
        ("{ server { name name name } }", 4),
        ("{ clusters { clusterId } }", 2),
        ("{ clusters { brokers { host port } } }", 8),
        ("{ clusters { topics { nodes { id } } } }", 3 + 100 * 2),
        ("{ clusters { topics(first: 5) { totalCount nodes { id } edges { cursor } } } }", 5 + 5 * 4),
        ("{ clusters { topics(first: 5) { ...P } } } fragment P on TopicConnection { nodes { ...T } } "
         "fragment T on Topic { id topicName }", 3 + 5 * 3),
        ("{ clusters { topics(first: 100000000000) { nodes { id } } } }", 3 + 1000 * 2),
        ("{ clusters { topics(first: 5) { nodes { partitions { partitionId } } } } }", 3 + 5 * (1 + 1 + 3)),
        ("{ ...A ...A } fragment A on Query { server { name } }", 4),
        ("{ ... on Query { server { ... @include(if: false) { name } } } }", 2),
        ("{ nope { nothing } server { name { deeper } } }", 5),
    ],
)  # fmt: skip
def test_the_cost_of_a_document(document: str, cost: int) -> None:
    assert _size(document).cost == cost


def test_variables_count_towards_the_cost() -> None:
    page = "query ($n: Int = 7) { clusters { topics(first: $n) { nodes { id } } } }"
    assert _size(page).cost == 3 + 7 * 2
    assert _size(page, n=3).cost == 3 + 3 * 2
    assert _size(page, n="many").cost == 3 + 100 * 2
    record = {"value": {"format": "JSON", "data": [1] * 1000}}
    # Each record has three entries and two objects; the content of a JSON scalar is not counted. Each result costs
    # three fields.
    expected = 12 + 100 + 100 * (3 + 2 * 10) + 2 + 100 * 3
    assert _size(PRODUCE, input={"topicName": "t", "records": [record] * 100}).cost == expected


def test_arguments_count_each_time_that_a_field_takes_them() -> None:
    fields = "".join(f" {name}: produceRecords(input: $input) {{ __typename }}" for name in "abc")
    document = f"mutation ($input: ProduceRecordsInput!) {{{fields} }}"
    # Each of them has two members, 100 records, and 101 input objects.
    assert _size(document, input={"topicName": "t", "records": [{}] * 100}).cost == 3 * (2 + 2 + 100 + 101 * 10)
    literal = f'mutation {{ produceRecords(input: {{ topicName: "t", records: [{"{} " * 100}] }}) {{ __typename }} }}'
    assert _size(literal).cost == 2 + 2 + 100 + 101 * 10


REPEATS = """mutation ($data: JSON = "%s") {
  produceRecords(input: { topicName: "t", records: [{ value: { data: [%s] } }] }) { __typename } }"""


def test_variables_are_not_repeated_with_much_data() -> None:
    many = REPEATS % ("", "$data " * 900)
    [error] = _errors(many, {"data": "x" * 10_000})
    assert "repeats variables" in error.message
    assert _errors(many, {"data": [1] * 1_000})
    assert not _errors(many, {"data": "x" * 1_000})
    assert not _errors(REPEATS % ("", "$data"), {"data": "x" * 3_000_000})
    assert _errors(REPEATS % ("x" * 10_000, "$data " * 900))


def _errors(document: str, variables: dict[str, Any] | None = None) -> list[GraphQLError]:
    documents = Documents(SCHEMA, GraphQLOptions())
    found = documents.get(document)
    if not found.errors:
        operation = found.operation(None)
        assert operation is not None
        values = documents.variable_values(found, operation, variables or {})
        return values if isinstance(values, list) else []
    return found.errors


HOSTILE = {
    "a field 1,900 times": "{ server {" + "name " * 1900 + "} }",
    "an object 400 times": "{" + "server { name } " * 400 + "}",
    "a list 400 times": "{ clusters {" + "brokers { host } " * 400 + "} }",
    "fields again in many places": "{" + " ".join(f"a{n}: server {{ {'name ' * 60} }}" for n in range(30)) + "}",
    "unknown fields": "{" + " ".join(f"a{n}" for n in range(1900)) + "}",
    "200 fragments in a place": "{ clusters {" + " ".join(f"...F{n}" for n in range(200)) + "} }"
    + "".join(f"fragment F{n} on Cluster {{ id }}" for n in range(200)),
    "an unused fragment": "{ server { name } } fragment F on Query {" + "server { name } " * 400 + "}",
    "fragments that double": "{ clusters { ...F0 } } fragment F40 on Cluster { id }"
    + "".join(f"fragment F{n} on Cluster {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40)),
    "fragments that double by field": "{ clusters { ...F0 } } fragment F12 on Cluster { id }"
    + "".join(
        f"fragment F{n} on Cluster {{ a{n}: controller {{ cluster {{ ...F{n + 1} }} }} "
        f"b{n}: controller {{ cluster {{ ...F{n + 1} }} }} }}"
        for n in range(12)
    ),
    "deep lists": "{ clusters { topics(first: 1000) { nodes { partitions { replicas { partition { replicas { broker {"
    " partitionReplicas { brokerId } } } } } } } } } }",
    "the schema again and again": "{" + " ".join(f"a{n}: __schema {{ types {{ name ...T }} }}" for n in range(30)) + "}"
    "fragment T on __Type { fields { name args { name type { name kind } } type { name kind ofType { name } } }"
    " inputFields { name type { name } } }",
    "records in many aliases": 'subscription { records(topicName: "t") { '
    + " ".join(f"a{n}: headers {{ ...C }}" for n in range(100)) + "} } fragment C on Header { "
    + " ".join(f"b{n}: value {{ ...F }}" for n in range(100)) + "} fragment F on Content {"
    + " ".join(f"c{n}{'x' * 100}: text" for n in range(100)) + "}",
    "unused variables": "query (" + " ".join(f"$a{n}: Int" for n in range(480)) + ") { server { name } }",
}  # fmt: skip


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_document_is_rejected_fast_with_a_short_message(document: str) -> None:
    started = time.process_time()
    errors = _errors(document)
    # Measured: at most 0.1 s; without limits some take seconds, and some never end.
    assert time.process_time() - started < 0.4 * slowness()
    assert 1 <= len(errors) <= 11
    assert all(len(error.message) < 600 for error in errors)


FOLLOW = 'subscription { records(topicName: "t") { %s } }'
FETCH = 'mutation { %s: fetchConsumerRecords(input: {group: "g", instance: "i"}) { %s } }'
ALL_FORMS = """
  records { key value keyInfo { error } valueInfo { error subject } record {
    topicName headers { name value { text json base64 size } }
    key { text json base64 size } value { text json base64 size } decodedKey { data } decodedValue { data }
  } }"""


@pytest.mark.parametrize(
    "document",
    [
        FOLLOW % "value { text a: text }",
        FOLLOW % "value { text } a: value { text }",
        FOLLOW % "headers { a: value { base64 } value { base64 } }",
        FOLLOW % "headers { name b: name }",
        FOLLOW % "a: headers { value { json } } b: headers { value { json } }",
        FOLLOW % "a: decodedValue { data } b: decodedValue { data }",
        FOLLOW % "...A ...B" + " fragment A on Record { value { ...F } } fragment B on Record { a: value { ...F } }"
        " fragment F on Content { text }",
        FOLLOW % "value { text ... @include(if: true) { b: text } }",
        'subscription { records(topicName: "t") { key { text } } records(topicName: "t") { key { a: text } } }',
        FETCH % ("a", "records { value a: value }"),
        FETCH % ("a", "a: records { value } b: records { value }"),
        FETCH % ("a", "records { a: record { key { json } } b: record { key { json } } }"),
        FETCH % ("a", "records { valueInfo { a: error b: error } }"),
        FOLLOW % " ".join(f"a{n}: value {{ ...F }}" for n in range(25)) + " fragment F on Content { text json base64 }",
    ],
)  # fmt: skip
def test_aliases_do_not_multiply_the_bytes_of_records(document: str) -> None:
    [error] = _errors(document)
    assert "more than once in the same form" in error.message


@pytest.mark.parametrize(
    "document",
    [
        FOLLOW % "k: key { text json base64 size a: size } value { text json base64 t: __typename } o: offset",
        FOLLOW % "key { text } value { text text } value { text ...F } ...R ...R"
        + " fragment F on Content { text base64 }"
        " fragment R on Record { value { ...F } }",
        FETCH % ("a", ALL_FORMS),
        "mutation {" + " ".join((FETCH % (f"f{n}", "records { value }"))[10:-1] for n in range(30)) + "}",
        "mutation {" + " ".join((FETCH % (f"f{n}", "...P"))[10:-1] for n in range(30)) + "}"
        f" fragment P on FetchConsumerRecordsPayload {{ {ALL_FORMS} }}",
    ],
)  # fmt: skip
def test_each_form_of_the_bytes_of_records_can_be_selected(document: str) -> None:
    assert not _errors(document)


def test_too_many_entries_in_variables() -> None:
    entries = {"topicName": "t", "records": [{}] * 60_000}
    [error] = _errors(PRODUCE, {"input": entries})
    assert "costs" in error.message
    assert not _errors(PRODUCE, {"input": entries | {"records": [{}] * 3_500}})


def test_queries_of_tools_and_of_the_readme_are_within_the_limits() -> None:
    assert not _errors(get_introspection_query(input_value_deprecation=True, specified_by_url=True))
    assert not _errors(
        "{ clusters { controller { host port } topics { nodes { topicName partitions { leader { broker { brokerId } } "
        "offsets { latestOffset } } } } } }"
    )


def test_a_comment_is_measured_before_it_is_read() -> None:
    documents = Documents(SCHEMA, GraphQLOptions())
    text = "{ server { name } } #" + "x" * 16 * 1024 * 1024
    started = time.process_time()
    with pytest.raises(FacadeError, match="65536 bytes"):
        documents.get(text)
    with pytest.raises(FacadeError):
        documents.get("{ server { name } } #" + "é" * 40_000)
    assert time.process_time() - started < 0.5


def test_the_cache_of_documents_is_limited() -> None:
    budget = 500_000
    documents = Documents(SCHEMA, GraphQLOptions(), cache_bytes=budget)
    fields = " ".join(f"a{n}: server {{ name version }}" for n in range(30))
    tracemalloc.start()
    try:
        for n in range(14):
            documents.get(f"{{ {fields} }} #{n}{'x' * 60_000 if n % 2 else ''}")
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # About 2.5 MB without a bound.
    assert kept < 2 * budget
    again = f"{{ {fields} }} #12"
    assert documents.get(again) is documents.get(again)


WORDS = st.sampled_from(
    ["{", "}", "(", ")", "clusters", "topics", "nodes", "first:", "$n", "5", "...", "F", "on", "Cluster", "fragment",
     "query", ":", "a", "__schema", "types", "server", "name", "@include", "[", "]", "subscription", "input"]
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(WORDS, max_size=40), st.dictionaries(st.sampled_from(["n", "input"]), st.integers() | st.text()))
def test_any_document_is_measured(words: list[str], variables: dict[str, Any]) -> None:
    try:
        document = parse("query ($n: Int) { clusters { " + " ".join(words) + " } }")
    except GraphQLError:
        return
    for entry in document.definitions:
        if isinstance(entry, OperationDefinitionNode):
            assert Measure(SCHEMA, document, variables).operation(entry).cost > 0
    with suppress(LimitError):
        check_repetition(document)
