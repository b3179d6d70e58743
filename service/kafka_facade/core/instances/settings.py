"""Validation of the settings of a new consumer instance (reference: v2 "Consumers", POST /consumers/{group})."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from kafka_facade.core.errors import InvalidConsumerConfig
from kafka_facade.core.instances.model import ConsumerInstance, CreateConsumer
from kafka_facade.core.kafka_text import MOST_BYTES, is_possible
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.model import Format

_FORMATS = {format.value.lower(): format for format in Format if format is not Format.STRING}
RESETS = ("earliest", "latest", "none")
"""Valid values of ``auto.offset.reset``."""
_MAX_FETCH_MIN_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class ConsumerDefaults:
    """Defaults from the server's settings. Times are milliseconds, sizes are bytes."""

    request_timeout_ms: int = 1000
    request_max_bytes: int = 64 * 1024 * 1024
    instance_timeout_ms: int = 300_000
    fetch_min_bytes: int = -1
    auto_offset_reset: str = "latest"
    auto_commit: bool = True
    max_instances: int = 1000


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
    if value.lower() not in ("true", "false"):
        raise _invalid(name, value, "true or false")
    return value.lower() == "true"


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
