"""Translation of client settings from librdkafka to kafka-python."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kafka_facade.client_settings.key_stores import as_file
from kafka_facade.core.errors import KafkaError

_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# For each name of librdkafka, kafka-python's name and the type of the value.
_SAME: Final[dict[str, tuple[str, type[Any]]]] = {
    "client.id": ("client_id", str),
    "client.dns.lookup": ("client_dns_lookup", str),
    "sasl.username": ("sasl_plain_username", str),
    "sasl.password": ("sasl_plain_password", str),
    "metadata.max.age.ms": ("metadata_max_age_ms", int),
    "connections.max.idle.ms": ("connections_max_idle_ms", int),
    "reconnect.backoff.ms": ("reconnect_backoff_ms", int),
    "socket.connection.setup.timeout.ms": ("socket_connection_setup_timeout_ms", int),
}
# Security settings without a counterpart in Python's TLS: identities, and restrictions of the negotiation.
_NOT_TRANSLATED: Final = (
    "ssl.keystore.location",
    "ssl.engine.location",
    "ssl.providers",
    "ssl.curves.list",
    "ssl.sigalgs.list",
)


def untranslated(config: Mapping[str, Any]) -> str | None:
    """Return a security setting that cannot be translated, with its value unless secret; None if there is none."""
    protocol = _protocol(config)
    if protocol.startswith("SASL_") and _mechanism(config) not in _MECHANISMS:
        return f"sasl.mechanism={_mechanism(config)}"
    if protocol.endswith("SSL"):
        for name in _NOT_TRANSLATED:
            if config.get(name):
                return f"{name}={config[name] if name.endswith('.location') else '...'}"
    return None


def protocol_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's settings, reading TLS files. Raises KafkaError if a security setting has no counterpart."""
    problem = untranslated(config)
    if problem is not None:
        raise KafkaError(f"This operation cannot connect to Kafka with {problem}.")
    found: dict[str, Any] = {
        "bootstrap_servers": str(config["bootstrap.servers"]).split(","),
        "reconnect_backoff_max_ms": 1000,
        "receive_message_max_bytes": 100_000_000,
        "max_in_flight_requests_per_connection": 100,
        "security_protocol": _protocol(config),
    }
    for name, (theirs, kind) in _SAME.items():
        if name in config:
            found[theirs] = kind(config[name])
    if _protocol(config).startswith("SASL_"):
        found["sasl_mechanism"] = _mechanism(config)
        if _mechanism(config).startswith("SCRAM-") and "sasl_plain_username" in found:
            # Escape as in RFC 5802, section 5.1; kafka-python does not.
            found["sasl_plain_username"] = found["sasl_plain_username"].replace("=", "=3D").replace(",", "=2C")
    if _protocol(config).endswith("SSL"):
        found["ssl_context"] = _tls(config)
    return found


def _protocol(config: Mapping[str, Any]) -> str:
    return str(config.get("security.protocol", "PLAINTEXT")).upper()


def _mechanism(config: Mapping[str, Any]) -> str:
    return str(config.get("sasl.mechanism", config.get("sasl.mechanisms", "GSSAPI")))


def _tls(config: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = str(config.get("ssl.endpoint.identification.algorithm", "https")).lower() == "https"
    if str(config.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        _load(context, config)
    except (OSError, ValueError) as error:
        raise KafkaError(f"The TLS settings of the Kafka client can't be used: {error}") from error
    return context


def _load(context: ssl.SSLContext, config: Mapping[str, Any]) -> None:
    location, text = config.get("ssl.ca.location"), config.get("ssl.ca.pem")
    if text:
        context.load_verify_locations(cadata=text)
    elif location and location != "probe":
        if Path(location).is_dir():
            context.load_verify_locations(capath=location)
        else:
            context.load_verify_locations(cafile=location)
    else:
        context.load_default_certs()
    _load_identity(context, config)
    if config.get("ssl.crl.location"):
        context.load_verify_locations(cafile=config["ssl.crl.location"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if config.get("ssl.cipher.suites"):
        context.set_ciphers(config["ssl.cipher.suites"])


def _load_identity(context: ssl.SSLContext, config: Mapping[str, Any]) -> None:
    """Load the client's certificate and key. Python only accepts files."""
    with contextlib.ExitStack() as files:
        certificate, key = _file("certificate", config, files), _file("key", config, files)
        if key is not None and certificate is None:
            raise ValueError("there is a key without its certificate")
        if certificate is not None:
            # Pass an empty password, or the library would prompt for one on the terminal.
            context.load_cert_chain(certificate, key, config.get("ssl.key.password") or "")


def _file(kind: str, config: Mapping[str, Any], files: contextlib.ExitStack) -> str | None:
    if config.get(f"ssl.{kind}.location"):
        return str(config[f"ssl.{kind}.location"])
    text = config.get(f"ssl.{kind}.pem")
    return files.enter_context(as_file(text)) if text else None
