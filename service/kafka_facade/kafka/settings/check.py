"""Validation of client settings before the gateway starts.

All settings of a client are validated together, by creating a client with them and discarding it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer

from kafka_facade.client_settings.java_names import Translated, is_security, translate
from kafka_facade.client_settings.likeness import seems_security
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.secrets import SecretProperties, redact, secrets_of
from kafka_facade.kafka.protocol.settings import protocol_config, untranslated
from kafka_facade.kafka.settings import roles

# An address without a listener, because a client created for validation must not connect to Kafka.
_NOWHERE: Final = "127.0.0.1:1"
_TOKENS: Final = "sasl.oauthbearer.token.endpoint.url"
_UNKNOWN: Final = re.compile(r'No such configuration property: "([^"]*)"')
_NAMED: Final = re.compile(r"[a-z]+(?:\.[a-z]+)+")
_MOST_CHARACTERS: Final = 300
_GROUP: Final = {"group.id": "check"}
# Settings for authentication of the client and of the server.
_SASL: Final = ("sasl.username", "sasl.password", "sasl.oauthbearer.client.", "sasl.kerberos.keytab")
_TLS: Final = ("ssl.ca.", "ssl.certificate.", "ssl.crl.", "ssl.key.", "ssl.keystore.")

# Settings of programs, which are no text.
_OF_PROGRAMS: Final = re.compile(r"\w+_cb|on_delivery|on_commit|opaque|default\.topic\.config")
_ACKS: Final = ("acks", "request.required.acks")

_silent = logging.getLogger("kafka_facade.kafka.check")
_silent.propagate = False
_silent.addHandler(logging.NullHandler())

_CONFIGS: Final[dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]] = {
    "producer": roles.producer_config,
    "consumer": roles.consumer_config,
    "admin": roles.admin_config,
}


def unknown_settings(
    role: str,
    properties: Mapping[str, str],
    *,
    sasl_shared: bool = False,
    fixed: Mapping[str, Any] = MappingProxyType({}),
) -> list[str]:
    """Return the settings that a client of this role ("producer", "consumer", "admin") does not know.

    Raises BadSettings if the client cannot be created with the others, if an unknown one concerns security, or if its
    protocol leaves credentials or certificates unused. ``sasl_shared`` means that SASL credentials are also used
    elsewhere. ``fixed`` are settings with which the gateway overrides the given ones.
    """
    _check_usable(role, properties)
    left = dict(properties)
    unknown: list[str] = []
    while True:
        translated = translate(left)
        refusal = _refusal(role, translated.config, fixed)
        if refusal is None:
            break
        if (match := _UNKNOWN.search(refusal)) is None:
            raise BadSettings(_culprits(role, left, translated, refusal, fixed), _told(refusal, left, fixed))
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


def _check_usable(role: str, properties: Mapping[str, str]) -> None:
    """Reject values that a client accepts, but that make every request of the gateway fail."""
    if names := [name for name in properties if _OF_PROGRAMS.fullmatch(name)]:
        raise BadSettings(names, "only a program can set it")
    if role != "producer":
        return
    if properties.get("transactional.id"):
        raise BadSettings(["transactional.id"], "the gateway produces without transactions")
    for name in _ACKS:
        if properties.get(name, "all") not in ("all", "-1", "0", "1"):
            raise BadSettings([name], "expected one of all, -1, 0, 1")


def _check_used(translated: Translated, sasl_shared: bool) -> None:
    """Reject credentials or trust stores without the protocol that uses them: they would be silently ignored."""
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
    """Check that the client for requests that librdkafka does not support accepts the same settings."""
    config = roles.protocol_config(_NOWHERE, translated.config)
    if untranslated(config) is not None:
        return
    try:
        protocol_config(config)
    except (FacadeError, ValueError) as error:
        names = [name for names in translated.origins.values() for name in names if is_security(name)]
        raise BadSettings(list(dict.fromkeys(names)), redact(str(error))) from None


def _refusal(role: str, config: Mapping[str, str], fixed: Mapping[str, Any]) -> str | None:
    """Return why a client cannot be created with these settings; None if it can."""
    complete = _CONFIGS[role](_NOWHERE, config) | dict(fixed) | {"bootstrap.servers": _NOWHERE, "logger": _silent}
    if complete.get(_TOKENS):
        # The client requests a token immediately, so point it to an address without a listener.
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


def _culprits(
    role: str, properties: Mapping[str, str], translated: Translated, refusal: str, fixed: Mapping[str, Any]
) -> list[str]:
    """Return the invalid settings: those named by the client, rejected on their own, or whose removal fixes it."""
    named = [name for word in _NAMED.findall(refusal) for name in translated.origins.get(word, ())]
    if named:
        return list(dict.fromkeys(named))
    for name, value in translated.config.items():
        if _refusal(role, {name: value}, fixed) == refusal:
            return list(translated.origins[name])
    for name in translated.config:
        rest = {other: value for other, value in translated.config.items() if other != name}
        if _refusal(role, rest, fixed) is None:
            return list(translated.origins[name])
    return [name for name in properties if is_security(name)] or list(properties)


def _told(refusal: str, properties: Mapping[str, str], fixed: Mapping[str, Any]) -> str:
    """Return the client's message in one line, without secrets, and the settings in it that the gateway overrides."""
    text = " ".join(refusal.partition("Failed to create producer: ")[2].split() or refusal.split())
    text = redact(text, secrets_of(SecretProperties(properties)))
    own = ", ".join(f"{name}={value}" for name, value in fixed.items() if name in text)
    return f"the Kafka client says: {text[:_MOST_CHARACTERS]}{f'; the gateway sets {own}' if own else ''}"
