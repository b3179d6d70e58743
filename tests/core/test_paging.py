"""Pagination by sort key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.paging import MAX_PAGE_SIZE, paginate


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
