"""Whether clients can be made with what the settings say, told before the gateway starts.

The settings of a client are judged together, by a client that is made of all of them and thrown away.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer

from kafka_facade.client_settings.java_names import Translated, is_security, translate
from kafka_facade.client_settings.likeness import seems_security
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.secrets import SecretProperties, redact, secrets_of
from kafka_facade.kafka.protocol.settings import protocol_config, untranslated
from kafka_facade.kafka.settings import roles

# Nobody listens there: a client that is made to be judged must not connect to Kafka.
_NOWHERE: Final = "127.0.0.1:1"
_TOKENS: Final = "sasl.oauthbearer.token.endpoint.url"
_UNKNOWN: Final = re.compile(r'No such configuration property: "([^"]*)"')
_NAMED: Final = re.compile(r"[a-z]+(?:\.[a-z]+)+")
_MOST_CHARACTERS: Final = 300
_GROUP: Final = {"group.id": "check"}
# What proves who one is, and whom one talks to.
_SASL: Final = ("sasl.username", "sasl.password", "sasl.oauthbearer.client.", "sasl.kerberos.keytab")
_TLS: Final = ("ssl.ca.", "ssl.certificate.", "ssl.crl.", "ssl.key.", "ssl.keystore.")

_silent = logging.getLogger("kafka_facade.kafka.check")
_silent.propagate = False
_silent.addHandler(logging.NullHandler())

_CONFIGS: Final[dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]] = {
    "producer": roles.producer_config,
    "consumer": roles.consumer_config,
    "admin": roles.admin_config,
}


def unknown_settings(role: str, properties: Mapping[str, str], *, sasl_shared: bool = False) -> list[str]:
    """The settings of a client of this role ("producer", "consumer", "admin") that it doesn't know.

    BadSettings where it can't be made with the others, where an unknown one is about security, or where its protocol
    leaves credentials or certificates unused. With ``sasl_shared`` something else uses those of SASL as well.
    """
    left = dict(properties)
    unknown: list[str] = []
    while True:
        translated = translate(left)
        refusal = _refusal(role, translated.config)
        if refusal is None:
            break
        if (match := _UNKNOWN.search(refusal)) is None:
            raise BadSettings(_culprits(role, left, translated, refusal), _told(refusal, left))
        names = translated.origins.get(match[1], ())
        if not names or any(is_security(name) or (left[name] and seems_security(name)) for name in names):
            raise BadSettings(names or [match[1]], "the Kafka client doesn't know it")
        unknown += names
        for name in names:
            del left[name]
    _check_used(translated, sasl_shared)
    if role == "admin":
        _check_protocol_client(translated)
    return unknown


def _check_used(translated: Translated, sasl_shared: bool) -> None:
    """Whoever gives a password or a trust store, and forgets the protocol, would be connected without it."""
    protocol = translated.config.get("security.protocol", "PLAINTEXT").upper()
    unused: tuple[str, ...] = ()
    if not protocol.startswith("SASL_") and not sasl_shared:
        unused += _SASL
    if not protocol.endswith("SSL"):
        unused += _TLS
    names = [name for used, names in translated.origins.items() if used.startswith(unused) for name in names]
    if names:
        raise BadSettings(
            list(dict.fromkeys(names)), f"unused with security.protocol={protocol}; change that or remove them"
        )


def _check_protocol_client(translated: Translated) -> None:
    """Whether the client for requests that librdkafka doesn't have can use the same settings."""
    config = roles.protocol_config(_NOWHERE, translated.config)
    if untranslated(config) is not None:
        return
    try:
        protocol_config(config)
    except (FacadeError, ValueError) as error:
        names = [name for names in translated.origins.values() for name in names if is_security(name)]
        raise BadSettings(list(dict.fromkeys(names)), redact(str(error))) from None


def _refusal(role: str, config: Mapping[str, str]) -> str | None:
    """Why a client can't be made of this; None where it can."""
    complete = _CONFIGS[role](_NOWHERE, config) | {"bootstrap.servers": _NOWHERE, "logger": _silent}
    if complete.get(_TOKENS):
        # A client asks for a token as soon as it is made, and ends once it has an answer.
        complete[_TOKENS] = f"http://{_NOWHERE}/"
    try:
        if role == "consumer":
            Consumer(_GROUP | complete).close()
        else:
            Producer(complete)
    except KafkaException as error:
        return str(error.args[0].str())
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def _culprits(role: str, properties: Mapping[str, str], translated: Translated, refusal: str) -> list[str]:
    """The settings to blame: those that the client names, or that alone it refuses, or without which it starts."""
    named = [name for word in _NAMED.findall(refusal) for name in translated.origins.get(word, ())]
    if named:
        return list(dict.fromkeys(named))
    for name, value in translated.config.items():
        if _refusal(role, {name: value}) == refusal:
            return list(translated.origins[name])
    for name in translated.config:
        rest = {other: value for other, value in translated.config.items() if other != name}
        if _refusal(role, rest) is None:
            return list(translated.origins[name])
    return [name for name in properties if is_security(name)] or list(properties)


def _told(refusal: str, properties: Mapping[str, str]) -> str:
    """The client's words without secrets, in one line."""
    text = " ".join(refusal.partition("Failed to create producer: ")[2].split() or refusal.split())
    text = redact(text, secrets_of(SecretProperties(properties)))
    return f"the Kafka client says: {text[:_MOST_CHARACTERS]}"
