"""Compiled selections return the same results as graphql-core's executor, with less work."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import strawberry
from graphql.execution.collect_fields import FieldDetails
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from kafka_facade.core.memory_budget import MemoryBudget
from kafka_facade.core.records import model as core_records
from kafka_facade.core.reservation import Reservation
from kafka_facade_graphql.compiled import MOST_NESTED
from kafka_facade_graphql.context import Context, Info, Memory
from kafka_facade_graphql.execution import SlicedExecutor
from kafka_facade_graphql.fields import field, subscription
from kafka_facade_graphql.records import Content, Record
from kafka_facade_graphql.scalars import SCALARS

EVENTS = 10

MEMORY = Memory(*(Reservation(MemoryBudget(1), None) for _ in Memory._fields))


@strawberry.type
class Query:
    @field(description="All.", graphql_type=list[Record])
    def records(self, info: Info) -> Any:
        return info.root_value

    @field(description="Some.", graphql_type=list[Record | None] | None)
    def some(self, info: Info) -> Any:
        return info.root_value

    @field(description="Values.", graphql_type=list[Content | None])
    def contents(self, info: Info) -> Any:
        found: Any = info.root_value
        values: list[Any] = [getattr(record, "value", None) for record in found]
        return [None if value is None else Content(data=value) for value in values]


@strawberry.type
class Subscription:
    @subscription(description="All.", graphql_type=AsyncGenerator[list[Record], None])
    async def records(self, info: Info) -> AsyncGenerator[Any, None]:
        for number in range(EVENTS):
            info.context.start_event()
            yield [_record(number)]


class Quiet(strawberry.Schema):
    """A schema that logs no errors."""

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        pass


class General(SlicedExecutor):
    """Compiles nothing."""

    def _compile(self, item_type: Any, selected: Any) -> None:
        return None


class Counting(SlicedExecutor):
    """Counts the info objects made for fields."""

    infos = 0

    def build_resolve_info(self, *arguments: Any) -> Any:
        Counting.infos += 1
        return super().build_resolve_info(*arguments)


def _schema(executor: type[SlicedExecutor]) -> strawberry.Schema:
    config = StrawberryConfig(scalar_map=SCALARS)
    return Quiet(Query, subscription=Subscription, config=config, execution_context_class=executor)


GENERAL, COMPILED, COUNTING = _schema(General), _schema(SlicedExecutor), _schema(Counting)

FIELDS: dict[str, dict[str, str | None]] = {
    "Record": {
        "__typename": None,
        "topicName": None,
        "partitionId": None,
        "offset": None,
        "timestamp": None,
        "headers": "Header",
        "key": "Content",
        "value": "Content",
    },
    "Header": {"__typename": None, "name": None, "value": "Content"},
    "Content": {"__typename": None, "base64": None, "text": None, "json": None, "size": None},
    "Decoded": {"__typename": None, "data": None},
}
CONDITIONS = st.sampled_from(
    ["", "", "", "@skip(if: $a)", "@include(if: $a)", "@include(if: $b)", "@skip(if: false) @include(if: $b)"]
)


def _selections(kind: str, fragments: bool = True, most: int = 3) -> st.SearchStrategy[str]:
    return st.lists(_selection(kind, fragments, most), min_size=1, max_size=most).map(" ".join)


@st.composite
def _selection(draw: st.DrawFn, kind: str, fragments: bool, most: int) -> str:
    condition = draw(CONDITIONS)
    form = draw(st.sampled_from(["field", "field", "inline", "spread"])) if most > 1 else "field"
    if form == "spread" and fragments:
        return f"...{kind}Fields {condition}"
    if form == "inline":
        on = draw(st.sampled_from(["", f"on {kind}"]))
        return f"... {on} {condition} {{ {draw(_selections(kind, fragments, most - 1))} }}"
    # A field that is resolved by waiting sends the whole entry the general way.
    awaited = [("decodedKey", "Decoded")] if kind == "Record" else []
    name, inner = draw(st.sampled_from([*list(FIELDS[kind].items()) * 3, *awaited]))
    alias = draw(st.sampled_from(["", "", f"another_{name.strip('_')}: "]))
    below = (
        "" if inner is None else f"{{ {draw(_selections(inner, fragments and inner != 'Decoded', max(most - 1, 1)))} }}"
    )
    return f"{alias}{name} {condition} {below}"


@st.composite
def _documents(draw: st.DrawFn) -> str:
    root, kind = draw(st.sampled_from([("records", "Record"), ("some", "Record"), ("contents", "Content")]))
    kinds = ("Record", "Header", "Content")
    fragments = " ".join(f"fragment {name}Fields on {name} {{ {draw(_selections(name, False, 2))} }}" for name in kinds)
    # All of them are used, or the document would be rejected.
    used = (
        "...ContentFields"
        if kind == "Content"
        else "...RecordFields headers { ...HeaderFields } key { ...ContentFields }"
    )
    unused = "" if kind == "Record" else "records @skip(if: true) { ...RecordFields headers { ...HeaderFields } }"
    return (
        f"query ($a: Boolean!, $b: Boolean = true) {{ x: {root} {{ {draw(_selections(kind))} {used} }} {unused} "
        f"z: records @skip(if: true) {{ offset @skip(if: $a) @include(if: $b) }} }} {fragments}"
    )


BYTES = st.none() | st.sampled_from([b"text", b"\xff", b'{"n": 1}', b'"\\ud800"', b"1e400", b"NaN", b"[" * 3000, b"2"])
MANY = [core_records.Header("many", b"1")] * (MOST_NESTED + 1)
# What no resolver expects.
WRONG: st.SearchStrategy[Any] = st.sampled_from(["wrong", object(), ValueError("an error as a value"), float("nan")])


def _mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(*[usual] * 12, WRONG, st.none())


_headers = st.lists(st.builds(core_records.Header, _mostly(st.text(max_size=3)), _mostly(BYTES)), max_size=3)
_records = st.builds(
    core_records.Record,
    _mostly(st.just("topic")),
    _mostly(st.integers(0, 9) | st.just(2**40)),
    _mostly(st.integers(0, 2**62)),
    _mostly(st.sampled_from([None, 0, 1_700_000_000_001, 2**62])),
    _mostly(_headers | st.just(MANY) | st.just((core_records.Header("one", b"1"),))),
    _mostly(BYTES),
    _mostly(BYTES),
)


def _record(offset: int) -> core_records.Record:
    return core_records.Record(
        "topic", 0, offset, 1_700_000_000_000 + offset, [core_records.Header("h", b"1")], b"key", b'{"n": 1}'
    )


async def _answer(
    schema: strawberry.Schema, document: str, variables: dict[str, Any], entries: list[Any], most: int
) -> tuple[Any, ...]:
    context = Context(None, most, MEMORY)  # type: ignore[arg-type]  # nothing is loaded
    found: Any = await schema.execute(document, variables, context_value=context, root_value=entries)
    if context.overflow is not None:
        return (context.overflow.message,)
    errors = sorted(str(error.formatted) for error in found.errors or ())
    return msgspec.json.decode(msgspec.json.encode(found.data)), errors, context.counted()[0]


@given(
    document=_documents(),
    a=st.booleans(),
    b=st.sampled_from([{}, {"b": True}, {"b": False}, {"b": None}]),
    entries=st.lists(_mostly(_records), max_size=12),
    most=st.sampled_from([10_000] * 5 + [5]),
)
@settings(max_examples=30)
def test_a_compiled_selection_answers_what_the_executor_answers(
    document: str, a: bool, b: dict[str, Any], entries: list[Any], most: int
) -> None:
    async def both() -> None:
        variables = {"a": a} | b
        # Long lists are completed concurrently, so the count before an error varies.
        few = all(entry.headers is not MANY for entry in entries if isinstance(entry, core_records.Record))
        limit = most if few else 10_000
        expected = await _answer(GENERAL, document, variables, entries, limit)
        assert await _answer(COMPILED, document, variables, entries, limit) == expected

    asyncio.run(both())


async def test_plain_fields_of_records_create_no_info_objects() -> None:
    document = "{ records { offset timestamp key { text } value { json size } headers { name value { base64 } } } }"
    Counting.infos = 0
    found = await COUNTING.execute(
        document,
        context_value=Context(None, 10_000, MEMORY),  # type: ignore[arg-type]
        root_value=[_record(number) for number in range(1000)],
    )
    assert found.errors is None
    assert Counting.infos == 1


async def test_a_subscription_caches_its_selection_once() -> None:
    seen = []
    context = Context(None, 10_000, MEMORY)  # type: ignore[arg-type]
    events: Any = await COMPILED.subscribe("subscription { records { offset key { text } } }", context_value=context)
    number = 0
    async for event in events:
        assert event.errors is None
        number += 1
        if number in (2, EVENTS):
            gc.collect()
            seen.append(sum(isinstance(found, FieldDetails) for found in gc.get_objects()))
    assert seen[0] == seen[1]
