"""Validation of the settings of a new consumer instance (reference: v2 "Consumers", POST /consumers/{group})."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from kafka_facade.core.errors import InvalidConsumerConfig
from kafka_facade.core.instances.model import ConsumerInstance, CreateConsumer
from kafka_facade.core.kafka_text import MOST_BYTES, is_possible
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.model import Format
from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import boolean, integer, one_of, size

_FORMATS = {format.value.lower(): format for format in Format if format is not Format.STRING}
RESETS = ("earliest", "latest", "none")
"""Valid values of ``auto.offset.reset``."""
_MAX_FETCH_MIN_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class ConsumerDefaults:
    """Consumer instances."""

    request_timeout_ms: int = setting("consumer.request.timeout.ms", "1000", integer(0))
    """Default for how long a read of a consumer instance waits for records; an instance can override it."""

    request_max_bytes: int = setting("consumer.request.max.bytes", "67108864", size(0))
    """Maximum bytes of keys and values in one read of a consumer instance."""

    instance_timeout_ms: int = shared.INSTANCE_TIMEOUT.field()

    fetch_min_bytes: int = setting("fetch.min.bytes", "-1", integer(-1, _MAX_FETCH_MIN_BYTES))
    """Default minimum bytes that a read of a consumer instance waits for; an instance can override it. With -1 a REST
    read waits until its timeout expires or its maximum is reached, and gRPC and GraphQL return available records at
    once."""

    auto_offset_reset: str = setting("consumer.auto.offset.reset", "latest", one_of(*RESETS))
    """Default start position in a partition without a committed offset: ``earliest``, ``latest`` or ``none``; a
    consumer instance can override it."""

    auto_commit: bool = setting("consumer.enable.auto.commit", "true", boolean)
    """Commit offsets automatically by default; a consumer instance can override it."""

    max_instances: int = shared.INSTANCES_MAX.field()


def resolve(request: CreateConsumer, defaults: ConsumerDefaults) -> ConsumerInstance:
    """Return the instance for a request. Raises InvalidConsumerConfig with the setting and the value."""
    for name, value in (("group", request.group), ("name", request.name)):
        if value is not None and not _is_identifier(value):
            expected = f"a text without control characters, of {MOST_BYTES} bytes at most"
            raise _invalid(name, repr(quote(value)), expected)
    format_name = "binary" if request.format is None else request.format.lower()
    if format_name not in _FORMATS:
        raise _invalid("format", request.format, f"one of {', '.join(_FORMATS)}")
    reset = defaults.auto_offset_reset if request.auto_offset_reset is None else request.auto_offset_reset
    if reset not in RESETS:
        raise _invalid("auto.offset.reset", reset, f"one of {', '.join(RESETS)}")
    return ConsumerInstance(
        group=request.group,
        instance_id=generated_name() if request.name is None else request.name,
        format=_FORMATS[format_name],
        auto_offset_reset=reset,
        auto_commit=_boolean("auto.commit.enable", request.auto_commit_enable, defaults.auto_commit),
        fetch_min_bytes=_integer(
            "fetch.min.bytes", request.fetch_min_bytes, defaults.fetch_min_bytes, -1, _MAX_FETCH_MIN_BYTES
        ),
        request_timeout_ms=_integer(
            "consumer.request.timeout.ms", request.request_timeout_ms, defaults.request_timeout_ms, 0, 2**31 - 1
        ),
    )


def generated_name() -> str:
    """Return an id for an instance that is created without a name."""
    return f"rest-consumer-{uuid.uuid4()}"


def _is_identifier(text: str) -> bool:
    # librdkafka truncates text at a NUL character, and aborts the process on an empty group.
    return bool(text) and text.isprintable() and is_possible(text)


def _boolean(name: str, value: str | None, default: bool) -> bool:
    if value is None:
        return default
    try:
        return boolean(value)
    except ValueError as error:
        raise _invalid(name, value, str(error)) from None


def _integer(name: str, value: str | None, default: int, lowest: int, highest: int) -> int:
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        raise _invalid(name, value, "a whole number") from None
    if not lowest <= number <= highest:
        raise _invalid(name, value, f"from {lowest} to {highest}")
    return number


def _invalid(name: str, value: object, expected: str) -> InvalidConsumerConfig:
    return InvalidConsumerConfig(
        f"Invalid consumer configuration: Invalid value {quote(value)} for configuration {name}: expected {expected}",
        name=name,
        value=str(value),
    )
