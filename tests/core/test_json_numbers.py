"""Decoding of JSON numbers with large exponents."""

from __future__ import annotations

import json
import threading
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import PayloadTooLarge
from kafka_facade.core.records.decoding_budget import JSON_ON_LOOP, weighs_more
from kafka_facade.core.records.json_numbers import JsonDecoder, has_large_exponents, slow_numbers
from kafka_facade.peers import wire
from kafka_facade.rest.bodies import BodyDecoder, Setting, StrictBody
from kafka_facade.rest.record_decoding import decode_record
from machine_speed import slowness

DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMBERS = st.builds(
    lambda sign, whole, fraction, exponent: sign + str(int(whole)) + fraction + exponent,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(lambda digits: f".{digits}"),
    st.just("")
    | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS)
    | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(200, 400)),
)
PADDING = [0] * 40


class Body(StrictBody):
    """A body with a setting, which may be of the type float."""

    value: Setting | list[Setting] = None


def outcome(text: bytes, decoder: JsonDecoder[object] | msgspec.json.Decoder[object]) -> str:
    try:
        # Unlike ==, repr distinguishes -0.0 from 0.0, and 1 from 1.0.
        return repr(decoder.decode(text))
    except msgspec.DecodeError as error:
        return repr(error)


@given(st.lists(NUMBERS | st.just("9e300") | st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)))
def test_numbers_are_decoded_as_without_the_hook(numbers: list[str]) -> None:
    text = f'{{"a":{json.dumps(PADDING)[:-1]},{",".join([*numbers, "9e300"])}]}}'.encode()
    assert has_large_exponents(text)
    assert outcome(text, JsonDecoder()) == outcome(text, msgspec.json.Decoder())


@pytest.mark.parametrize("number", ["9e300", "9E300", "9e+300", "1.5E+299", "9e0300"])
def test_large_exponents_are_found(number: str) -> None:
    for before in (64, 1024 * 1024 - len(number)):
        text = b" " * before + number.encode()
        assert has_large_exponents(text)
        assert has_large_exponents(memoryview(text * 2))


@pytest.mark.serial
@pytest.mark.parametrize("number", [b"9e300", b"9E+300", b"123456789012345678e290", b"1.5", b"9e-300"])
def test_json_of_the_weight_for_the_event_loop_takes_little_time(number: bytes) -> None:
    numbers = [number] * (JSON_ON_LOOP // (len(number) + 33))
    text = b"[" + b",".join([*numbers, b"9e300"]) + b"]"
    assert weighs_more(text + b"[" * 100, JSON_ON_LOOP)
    decoder = JsonDecoder()
    began = time.thread_time()
    decoder.decode(text)
    assert (time.thread_time() - began) / slowness() < 0.04


@pytest.mark.serial
def test_decoding_many_numbers_lets_other_threads_run() -> None:
    text = b'{"value":{"type":"JSON","data":[' + b",".join([b"9e300"] * 1_000_000) + b"]}}"
    thread = threading.Thread(target=decode_record, args=(text,))
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10


@pytest.mark.serial
def test_repeated_timestamps_take_little_time() -> None:
    text = b"{" + b",".join([b'"timestamp":9e300'] * 10_000) + b',"timestamp":1}'
    began = time.thread_time()
    assert decode_record(text).timestamp == 1000
    assert (time.thread_time() - began) / slowness() < 0.04


def test_bodies_without_records_may_have_few_large_numbers() -> None:
    decoder = BodyDecoder(Body)
    assert decoder.required(b'{"value":[%b9e300]}' % (b"9e300," * 900)).value == [9e300] * 901
    with pytest.raises(PayloadTooLarge):
        decoder.required(b'{"value":[%b9e300]}' % (b"9e300," * 2_000))
    with pytest.raises(PayloadTooLarge):
        decoder.required(b'{"value":[%b1]}' % ((b"9" * 4_000 + b",") * 1_000))


@pytest.mark.serial
def test_moved_json_takes_little_time() -> None:
    text = b"[" + b",".join([b"9e300"] * 2_600) + b"]"
    began = time.thread_time()
    wire._decode_json(text)
    assert (time.thread_time() - began) / slowness() < 0.01


def test_names_are_no_slow_numbers() -> None:
    names = b",".join([b'{"a\\"1e300":"topic-5e123456"}'] * 2000)
    assert slow_numbers(b"[%b]" % names) == 0
    assert slow_numbers(b"[%b,9e300]" % names) == 1
