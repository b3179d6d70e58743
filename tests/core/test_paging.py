"""Pagination by sort key."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.paging import MAX_PAGE_SIZE, encode_token, paginate


@given(names=st.sets(st.text(min_size=1)), size=st.integers(1, 7))
def test_all_pages_together_have_all_items(names: set[str], size: int) -> None:
    items = sorted(names)
    seen: list[str] = []
    token = ""
    while True:
        page = paginate(items, lambda item: item, size=size, token=token)
        assert len(page.items) <= size
        assert page.total == len(items)
        seen += page.items
        token = page.next_token
        if not token:
            break
    assert seen == items


def test_pages_are_consistent_while_items_change() -> None:
    first = paginate(["a", "b", "c", "d"], lambda item: item, size=2)
    second = paginate(["aa", "b", "c", "cc", "d"], lambda item: item, size=2, token=first.next_token)
    assert second.items == ["c", "cc"]


def test_page_sizes() -> None:
    items = list(range(5000))
    assert len(paginate(items, lambda item: item, size=0).items) == 100
    assert len(paginate(items, lambda item: item, size=10**6).items) == MAX_PAGE_SIZE
    with pytest.raises(InvalidRequest):
        paginate(items, lambda item: item, size=-1)


@pytest.mark.parametrize("token", ["x", "!!", "ImEi", "e30"])
def test_a_foreign_token_is_rejected(token: str) -> None:
    with pytest.raises(InvalidRequest):
        paginate([1, 2, 3], lambda item: item, token=token)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"[" * 1000, b"[[]]", b"[9e300]", b"1.5", b"true", b"null", b'{"a":1}', b'"\\ud800"', b'"\xff"'],
)
def test_a_token_with_another_content_is_rejected(content: bytes) -> None:
    token = base64.urlsafe_b64encode(content).decode().rstrip("=")
    with pytest.raises(InvalidRequest) as caught:
        paginate(["a", "b"], lambda item: item, token=token)
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("change", ["{}=", "{}\n", " {}", "{}!", "{}é"])
def test_a_changed_token_is_rejected(change: str) -> None:
    token = encode_token("a")
    with pytest.raises(InvalidRequest):
        paginate(["a", "b"], lambda item: item, token=change.format(token))


def test_a_long_token_is_rejected_without_decoding_it() -> None:
    token = base64.urlsafe_b64encode(b"[" + b"9e300," * 1_000_000 + b"1]").decode()
    began = time.process_time()
    with pytest.raises(InvalidRequest):
        paginate(["a"], lambda item: item, token=token)
    assert time.process_time() - began < 0.05


_LENGTHS = [1, 255, 256, 257, 32_000]
_TEXTS = st.builds(
    lambda start, length, end: start * length + end,
    st.sampled_from("a\0€"),
    st.sampled_from(_LENGTHS),
    st.text(max_size=2),
)


@given(keys=st.lists(st.tuples(st.integers(0, 1), _TEXTS, _TEXTS, _TEXTS), unique=True), size=st.integers(1, 3))
def test_tokens_of_long_keys_are_short(keys: list[tuple[int, str, str, str]], size: int) -> None:
    items: list[list[int | str]] = [list(key) for key in sorted(keys)]
    seen: list[list[int | str]] = []
    token = ""
    while True:
        page = paginate(items, lambda item: item, size=size, token=token)
        seen += page.items
        token = page.next_token
        assert len(token) < 7000
        if not token:
            break
    assert seen == items
    names = sorted({str(key[1]) for key in keys})
    for place, name in enumerate(names):
        assert paginate(names, lambda item: item, token=encode_token(name)).items == names[place + 1 :]


def test_no_item_is_missed_if_the_item_of_a_shortened_key_was_removed() -> None:
    names = [f"{'x' * 300}{number}" for number in range(4)]
    token = paginate(names, lambda item: item, size=2).next_token
    assert set(names[2:]) < set(paginate([names[0], *names[2:]], lambda item: item, token=token).items)
