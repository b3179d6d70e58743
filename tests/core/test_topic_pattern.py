"""Patterns of topic names."""

import time

import pytest

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.instances.topic_pattern import TopicPattern


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ref-.*", ["ref-b", "ref-v3"]),
        (r"ref-v\d", ["ref-v3"]),
        ("ref-(?:v3|b)", ["ref-b", "ref-v3"]),
        ("ref", []),
        (".*", ["other", "ref-b", "ref-v3", "x.ref-b"]),
    ],
)
def test_the_whole_name_must_match(pattern: str, names: list[str]) -> None:
    assert TopicPattern(pattern).matching(["other", "ref-b", "ref-v3", "x.ref-b"]) == names


@pytest.mark.parametrize("pattern", ["(", "(?!x)a", "a{2,1}", pytest.param("a|" * 60_000, id="long")])
def test_invalid_patterns_are_rejected(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        TopicPattern(pattern)


def test_matching_takes_linear_time() -> None:
    started = time.monotonic()
    assert TopicPattern("(a+)+b").matching(["a" * 249] * 100) == []
    assert time.monotonic() - started < 5
