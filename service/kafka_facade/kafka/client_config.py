"""Kafka client settings as people have them (the Java client's names), as librdkafka takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import KafkaError as ClientError

_RENAMED: dict[str, tuple[str, Callable[[str], str]]] = {
    "max.request.size": ("message.max.bytes", str),
    "buffer.memory": ("queue.buffering.max.kbytes", lambda value: str(max(1, int(value) // 1024))),
    "fetch.max.wait.ms": ("fetch.wait.max.ms", str),
    "send.buffer.bytes": ("socket.send.buffer.bytes", str),
    "receive.buffer.bytes": ("socket.receive.buffer.bytes", str),
    "request.timeout.ms": ("socket.timeout.ms", str),
    "socket.connection.setup.timeout.ms": ("socket.connection.setup.timeout.ms", str),
    "ssl.truststore.location": ("ssl.ca.location", str),
    "partitioner.class": ("partitioner", str),
}
_JAAS_ENTRY = re.compile(r"""(username|password)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A setting that the client doesn't take; ``known`` tells a bad value from an unknown name."""

    name: str
    value: str
    reason: str
    known: bool


def translate(properties: Mapping[str, str]) -> dict[str, str]:
    """The same settings under librdkafka's names. Names that need no translation stay as they are."""
    found: dict[str, str] = {}
    for name, value in properties.items():
        if name == "sasl.jaas.config":
            for key, quoted, single in _JAAS_ENTRY.findall(value):
                found[f"sasl.{key}"] = quoted or single
        elif name in _RENAMED:
            renamed, convert = _RENAMED[name]
            found[renamed] = convert(value)
        else:
            found[name] = value
    return found


def rejected(role: str, properties: Mapping[str, str]) -> list[Rejected]:
    """The settings that a client of this role ("producer" or "consumer") would not start with."""
    problems = []
    for name, value in properties.items():
        try:
            config: dict[str, Any] = dict(translate({name: value}))
            if role == "consumer":
                Consumer({"group.id": "check"} | config).close()
            else:
                Producer(config)
        except KafkaException as error:
            client_error = error.args[0]
            # What only works together with another setting is for the client as a whole to judge.
            if client_error.code() == ClientError._INVALID_ARG:
                reason = client_error.str()
                known = "No such configuration property" not in reason
                problems.append(Rejected(name, value, reason, known))
        except ValueError as error:
            problems.append(Rejected(name, value, str(error), known=True))
    return problems
