"""Quotations of external values in messages are truncated."""

import time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidTopicName, NotFound
from kafka_facade.core.quoting import MESSAGE_LENGTH, QUOTE_LENGTH, quote, quote_json

LARGE = "x" * 10_000_000


@given(st.text(max_size=600))
def test_long_texts_are_shortened_in_the_middle(text: str) -> None:
    quoted = quote(text)
    assert len(quoted) <= QUOTE_LENGTH
    assert quoted == text or (text.startswith(quoted[:150]) and text.endswith(quoted[-40:]))


def test_only_the_needed_part_of_a_large_value_is_encoded() -> None:
    started = time.process_time()
    for value in (LARGE, [1] * 1_000_000, {"a": [LARGE]}, msgspec.Raw(b"1.5"), None):
        assert len(quote_json(value)) <= QUOTE_LENGTH
    assert time.process_time() - started < 1
    assert quote_json('say "x"') == '"say \\"x\\""'
    assert quote_json({"a": [1, None, True]}) == '{"a": [1, null, true]}'


def test_errors_do_not_keep_long_texts() -> None:
    error = InvalidTopicName("many words " * 1_000_000, topic_name=LARGE, field=LARGE)
    assert len(error.message) == MESSAGE_LENGTH == len(str(error))
    assert {len(value) for value in error.metadata.values()} == {QUOTE_LENGTH}
    assert len(error.within(LARGE).field or "") == QUOTE_LENGTH
    assert len(NotFound(name=LARGE).message) < MESSAGE_LENGTH


def test_long_words_of_messages_are_shortened() -> None:
    message = InvalidTopicName(f"Kafka says: invalid value {LARGE} for retention.ms").message
    assert message.startswith("Kafka says: invalid value xxx")
    assert message.endswith("xxx for retention.ms")
    assert max(map(len, message.split())) == QUOTE_LENGTH
