"""Settings of a consumer instance."""

import pytest

from kafka_facade.core.errors import InvalidConsumerConfig
from kafka_facade.core.instances.model import CreateConsumer
from kafka_facade.core.instances.settings import ConsumerDefaults, resolve
from kafka_facade.core.records.model import Format


def test_defaults() -> None:
    instance = resolve(CreateConsumer("g"), ConsumerDefaults(request_timeout_ms=70, fetch_min_bytes=5))
    assert instance.format is Format.BINARY
    assert instance.instance_id.startswith("rest-consumer-")
    assert (instance.request_timeout_ms, instance.fetch_min_bytes) == (70, 5)
    assert instance.auto_commit


def test_settings_of_the_caller() -> None:
    instance = resolve(
        CreateConsumer("g", "c", "json", "earliest", "false", "100", "2500"), ConsumerDefaults(request_timeout_ms=70)
    )
    assert (instance.instance_id, instance.format, instance.auto_offset_reset) == ("c", Format.JSON, "earliest")
    assert (instance.auto_commit, instance.fetch_min_bytes, instance.request_timeout_ms) == (False, 100, 2500)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("format", "nope"),
        ("format", "string"),
        ("auto_offset_reset", "nope"),
        ("auto_commit_enable", "maybe"),
        ("fetch_min_bytes", "-2"),
        ("fetch_min_bytes", "many"),
        ("request_timeout_ms", "zz"),
        ("request_timeout_ms", "-1"),
    ],
)
def test_errors_name_the_invalid_setting(setting: str, value: str) -> None:
    with pytest.raises(InvalidConsumerConfig, match=value):
        resolve(CreateConsumer("g", **{setting: value}), ConsumerDefaults())


def test_formats_are_case_insensitive() -> None:
    assert resolve(CreateConsumer("g", format="Avro"), ConsumerDefaults()).format is Format.AVRO
