"""Every error code of Kafka and of librdkafka is mapped."""

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from kafka_facade.core import errors
from kafka_facade.core.errors import ERRORS_BY_REASON
from kafka_facade.kafka.errors import KINDS, facade_error, from_exception

CODES = {
    name: value
    for name in dir(KafkaError)
    if name.lstrip("_").isupper() and isinstance(value := getattr(KafkaError, name), int)
}


def test_error_codes_of_librdkafka_have_the_expected_values() -> None:
    assert len(CODES) > 180, confluent_kafka.libversion()


@pytest.mark.parametrize("name", sorted(set(CODES) - {"NO_ERROR"}))
def test_every_code_of_librdkafka_is_mapped(name: str) -> None:
    error = facade_error(KafkaError(CODES[name]))
    assert CODES[name] in KINDS
    assert ERRORS_BY_REASON[error.reason] is type(error)


@pytest.mark.parametrize("code", [code for code in range(-1, 134) if code != 0])
def test_every_code_of_the_kafka_protocol_is_mapped(code: int) -> None:
    assert code in KINDS


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, errors.TopicNotFound),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, errors.KafkaAuthorizationFailed),
        (KafkaError._ALL_BROKERS_DOWN, errors.RetriableKafkaError),
        (KafkaError._TIMED_OUT, errors.KafkaTimeout),
        (KafkaError.MSG_SIZE_TOO_LARGE, errors.PayloadTooLarge),
        (KafkaError.UNSUPPORTED_VERSION, errors.UnsupportedVersion),
    ],
)
def test_common_errors(code: int, kind: type[errors.FacadeError]) -> None:
    assert type(from_exception(KafkaException(KafkaError(code)))) is kind


def test_an_unknown_code_is_a_kafka_error() -> None:
    assert type(facade_error(KafkaError(9999))) is errors.KafkaError


def test_an_error_that_is_a_result_is_mapped_like_one_that_is_raised() -> None:
    assert type(from_exception(KafkaError(KafkaError._TIMED_OUT))) is errors.KafkaTimeout
