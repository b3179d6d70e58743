import json
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_facade.core.errors import MalformedBody, PayloadTooLarge
from kafka_facade.rest.json_stream import MAX_DEPTH, Document, JsonSplitter

LIMIT = 1_000_000

_scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    _scalars | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_containers = st.lists(_values, max_size=4) | st.dictionaries(st.text(max_size=8), _values, max_size=4)
_spaces = st.text(alphabet=" \t\r\n", max_size=3)


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _split(data: bytes, cuts: list[int]) -> tuple[list[Document], JsonSplitter]:
    splitter = JsonSplitter(LIMIT)
    documents = [document for piece in _pieces(data, cuts) for document in splitter.feed(piece)]
    return documents + splitter.finish(), splitter


@settings(max_examples=300)
@given(st.data())
def test_documents_are_unchanged(data: st.DataObject) -> None:
    values = data.draw(st.lists(_containers, max_size=6))
    escaped, indent = data.draw(st.booleans()), data.draw(st.sampled_from([None, 1]))
    texts = [json.dumps(value, ensure_ascii=escaped, indent=indent).encode() for value in values]
    body = b"".join(data.draw(_spaces).encode() + text for text in texts) + data.draw(_spaces).encode()
    cuts = data.draw(st.lists(st.integers(0, 10_000), max_size=12))
    documents, splitter = _split(body, cuts)
    assert documents == texts
    assert splitter.error is None
    assert splitter.clean


@given(st.lists(_scalars | st.text(max_size=20), max_size=6), st.lists(st.integers(0, 1000), max_size=12))
def test_white_space_separates_scalars(values: list[object], cuts: list[int]) -> None:
    texts = [json.dumps(value).encode() for value in values]
    documents, splitter = _split(b"\n".join(texts), cuts)
    assert documents == texts
    assert splitter.error is None


@settings(max_examples=300)
@given(
    _containers, st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.lists(st.integers(0, 1000), max_size=6)
)
def test_accepted_json_does_not_depend_on_chunk_boundaries(
    value: object, place: int, noise: bytes, cuts: list[int]
) -> None:
    text = json.dumps(value).encode()
    place %= len(text) + 1
    body = text[:place] + noise + text[place:]

    def outcome(cuts: list[int]) -> list[object]:
        documents, splitter = _split(body, cuts)
        found: list[object] = []
        for document in documents:
            try:
                found.append(json.loads(document.decode(), parse_constant=_refuse))
            except ValueError:
                return [*found, "malformed"]
        return [*found, "malformed"] if splitter.error is not None else found

    assert outcome(cuts) == outcome([])


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@pytest.mark.parametrize(
    "beginning",
    [
        b"{bad",
        b'{"a" 1',
        b'{"a":trx',
        b'{"a":01',
        b'{"a":1.e',
        b'{"a":1,,',
        b'{"a":"\\q',
        b'{"a":"\\u12gx',
        b'{"a":"\x01',
        b"[1 2",
        b"]",
        b"nul1",
        b"\x1f\x8b",
        b"[" * (MAX_DEPTH + 1),
    ],
)
def test_invalid_json_is_rejected_before_its_end(beginning: bytes) -> None:
    splitter = JsonSplitter(LIMIT)
    assert splitter.feed(b'{"a":1}' + beginning) == [b'{"a":1}']
    assert isinstance(splitter.error, MalformedBody)
    assert splitter.feed(b'{"b":2}') == []


@pytest.mark.parametrize("beginning", [b"{", b'{"a', b'{"a":-', b'{"a":1e', b'{"a":"\\u00', b"[tru", b'["x",'])
def test_incomplete_json_is_rejected_at_the_end(beginning: bytes) -> None:
    splitter = JsonSplitter(LIMIT)
    assert splitter.feed(beginning) == []
    assert splitter.error is None
    assert not splitter.clean
    assert splitter.finish() == []
    assert isinstance(splitter.error, MalformedBody)


def test_a_document_over_the_limit_ends_the_stream_after_those_before_it() -> None:
    splitter = JsonSplitter(20)
    assert splitter.feed(b'{"a":1}{"a":"' + b"x" * 20 + b'"}{"b":2}') == [b'{"a":1}']
    assert isinstance(splitter.error, PayloadTooLarge)


def test_a_document_over_the_limit_is_refused_before_it_has_ended() -> None:
    splitter = JsonSplitter(20)
    splitter.feed(b'{"a":"')
    splitter.feed(b"x" * 30)
    assert isinstance(splitter.error, PayloadTooLarge)


@pytest.mark.parametrize(
    "text",
    [
        b"1 ",
        b'"s"',
        b"[" * 9 + b"]" * 9,
        b"[" * 99 + b'"\\ud800"' + b"]" * 99,
        b'{"a":1}1 ',
        b"[" * 9 + b'"]"' + b"]" * 9 + b'{"b":2}true\n',
    ],
    ids=["numbers", "strings", "deep", "deeper", "mixed", "deep and mixed"],
)
def test_many_documents_at_once_take_no_longer_than_one_by_one(text: bytes) -> None:
    body = text * (2_000_000 // len(text))
    before = time.process_time()
    documents, splitter = _split(body, [])
    # Less than 1 s; what looks at the rest again for each document takes minutes.
    assert time.process_time() - before < 20
    assert splitter.error is None
    assert splitter.clean
    assert b"".join(documents) == body.translate(None, b" \n")


def _branches(levels: int) -> bytes:
    text = b"[]"
    for _ in range(levels):
        text = b"[" + text + b"," + text + b"]"
    return text


_LARGE = {
    "numbers": (b'{"a":[', b"1,", b"1]}"),
    "literals": (b"[", b"null, true,", b"false]"),
    "texts": (b'{"a":[', b'"",', b'""]}'),
    "escapes": (b'{"a":[', b'"\\"",', b"1]}"),
    "brackets in texts": (b'{"a":[', b'"[",', b"1]}"),
    "objects": (b'{"a":[', b"{},", b"{}]}"),
    "members": (b'{"v":{', b'"a":1,', b'"b":1}}'),
    "a little nested": (b'{"a":[', b"[" * 9 + b"1" + b"]" * 9 + b",", b"1]}"),
    "surrogates": (b'{"a":[', b'["\\ud800"],', b"1]}"),
    "nested": (b'{"a":[', b"[" * 400 + b"]" * 400 + b",", b"1]}"),
    "nested objects": (b'{"a":[', b'{"a":' * 400 + b"1" + b"}" * 400 + b",", b"1]}"),
    "branches": (b"[", _branches(8) + b",", b"1]"),
    "comb": (b"[", b"[[]," * 300 + b"[]" + b"]" * 300 + b",", b"1]"),
    "stairs": (b"[", b",".join(b"[" * depth + b"[]" + b",[]]" * depth for depth in range(1, 400)) + b",", b"1]"),
    "spaces": (b"[", b" ", b"1]"),
    "one text": (b'["', b"a, ", b'"]'),
    "one text of escapes": (b'["', b'\\\\\\"', b'"]'),
}
# How many times longer than msgspec takes to read nested arrays of that size it may take, by the size of a chunk.
_FACTORS = {1_000: 20, 65_536: 6, 10_000_000: 6}


def _fastest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times)


@pytest.mark.parametrize("size", _FACTORS)
@pytest.mark.parametrize("name", _LARGE)
def test_a_large_document_takes_little_time_whatever_it_is(name: str, size: int) -> None:
    head, part, tail = _LARGE[name]
    body = head + part * (2_000_000 // len(part)) + tail
    nested = b"[" + (b"[" * 400 + b"]" * 400 + b",") * (2_000_000 // 801) + b"1]"

    def split() -> None:
        splitter = JsonSplitter(len(body))
        documents = [document for at in range(0, len(body), size) for document in splitter.feed(body[at : at + size])]
        assert documents == [body]
        assert splitter.error is None

    parsing = _fastest(lambda: msgspec.json.decode(nested, type=msgspec.Raw))
    assert _fastest(split) < _FACTORS[size] * parsing


@pytest.mark.parametrize("name", ["objects", "branches", "comb", "one text"])
def test_time_is_linear_in_the_size_of_a_document(name: str) -> None:
    def seconds(size: int) -> float:
        head, part, tail = _LARGE[name]
        body = head + part * (size // len(part)) + tail

        def split() -> None:
            splitter = JsonSplitter(len(body))
            for at in range(0, len(body), 65_536):
                splitter.feed(body[at : at + 65_536])

        return _fastest(split)

    assert seconds(8_000_000) < 3 * 8 * seconds(1_000_000)


def test_msgspec_reports_the_end_of_a_value() -> None:
    for text, told in (
        (b"[1] 2", "JSON is malformed: trailing characters (byte 5)"),
        (b"[1}", "JSON is malformed: expected ',' or ']' (byte 2)"),
        (b"[1", "Input data was truncated"),
        (b'"a', "Input data was truncated"),
        (b'"\\u00', "Input data was truncated"),
    ):
        with pytest.raises(msgspec.DecodeError) as caught:
            msgspec.json.decode(text, type=msgspec.Raw)
        assert str(caught.value) == told
    with pytest.raises(RecursionError):
        msgspec.json.decode(b"[" * 100_000, type=msgspec.Raw)


def test_chunks_may_end_anywhere() -> None:
    texts = [
        b'{"a,b":[1,2.5e-3,"x,y",":[{}]","\\\\","\\"","\\ud83d\\ude00\\ud800x", true ,null, {"k" : [ ] }],"z":{}}',
        b'"a\\\\\\\\\\"b,"',
        b'[[],[[],[]],"]["]',
        b"-12.5E+3",
        b'["\xc3\xa9,\xc3\xbc", "  "]',
    ]
    body = b" \n".join(texts) + b" "
    for cut in range(len(body)):
        assert _split(body, [cut])[0] == texts
    for step in range(1, 8):
        assert _split(body, list(range(0, len(body), step)))[0] == texts


@given(
    st.lists(
        st.sampled_from(
            [b"1", b"-2.5e3", b"null", b'"]"', b'"\\""', b"[]", b"{}", b'[[[[[[[[{"a":[1,2]}]]]]]]]]', b"[[1],[2]]"]
        ),
        min_size=1,
        max_size=300,
    ),
    st.sampled_from([b",", b", ", b"\n,"]),
    st.sets(st.integers(1, 2_000), max_size=12),
    st.sampled_from([b"", b",", b"}", b"x", b"]"]),
)
def test_results_do_not_depend_on_chunk_boundaries(
    parts: list[bytes], comma: bytes, cuts: set[int], wrong: bytes
) -> None:
    array = b"[" + comma.join(parts * 3) + wrong + b"]"
    body = array + b' {"a":' + array + b',"b":{"c":1}}'

    def outcome(places: list[int]) -> list[object]:
        documents, splitter = _split(body, places)
        found: list[object] = []
        for document in documents:
            try:
                found.append(json.loads(document, parse_constant=_refuse))
            except ValueError:
                return [*found, "malformed"]
        return [*found, "malformed"] if splitter.error is not None else found

    assert outcome(sorted(cuts)) == outcome([])


@pytest.mark.parametrize("cut", range(8))
def test_a_byte_order_mark_is_skipped(cut: int) -> None:
    body = b'\xef\xbb\xbf{"a":1}{}'
    documents, splitter = _split(body, [cut])
    assert (documents, splitter.error) == ([b'{"a":1}', b"{}"], None)
    documents, splitter = _split(body[:3], [cut])
    assert (documents, splitter.error, splitter.clean) == ([], None, True)


@pytest.mark.parametrize("body", [b"\xef", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"{}\xef\xbb\xbf{}"])
def test_incomplete_byte_order_marks(body: bytes) -> None:
    assert isinstance(_split(body, [1])[1].error, MalformedBody)


@pytest.mark.parametrize("levels", [2_000, 20_000, 87_000])
def test_unbalanced_nested_brackets_take_little_time(levels: int) -> None:
    padding = b" " * (128 * (2**10 - 1) + 10)
    splitter = JsonSplitter(LIMIT)
    started = time.process_time()
    splitter.feed(b"[" + padding + b"[[]" * levels + b"]" * levels)
    assert time.process_time() - started < 0.5
    assert isinstance(splitter.error, MalformedBody)


def test_a_document_is_returned_whatever_follows_it() -> None:
    splitter = JsonSplitter(LIMIT)
    first = b'["' + b"a" * 20_000 + b'"' + b" " * 200
    assert splitter.feed(first) == []
    rest = b",1" + b" " * 66_000 + b"]"
    assert splitter.feed(rest + b" " + b"[" * 29_000 + b"]" * 29_000) == [first + rest]
    assert isinstance(splitter.error, MalformedBody)


@pytest.mark.parametrize(
    ("before", "field"),
    [
        (b'{"partition_id":', "partition_id"),
        (b'{"a":{"x":1},"b":[{},[],{"c" : "]\\"{", "d,":{"e": [1, 2,-', "b[2].d,.e[2]"),
        (b"[0,", "[1]"),
        (b"", None),
        (b'{"a":"' + b"x" * 70_000 + b'","b":', None),
    ],
)
@pytest.mark.parametrize("size", [16_384, 1_000_000])
def test_a_number_that_is_too_long_is_named(before: bytes, field: str | None, size: int) -> None:
    splitter = JsonSplitter(10_000_000)
    data = before + b"9" * 4_000_000
    for start in range(0, len(data), size):
        assert splitter.feed(data[start : start + size]) == []
    assert isinstance(splitter.error, MalformedBody)
    where = f" (at {field})" if field else ""
    assert splitter.error.message == f"The number is out of range{where}."
    assert splitter.error.field == field
