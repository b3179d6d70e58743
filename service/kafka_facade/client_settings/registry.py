"""Translates the Java client's Schema Registry settings for confluent-kafka's client."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from kafka_facade.client_settings import key_stores
from kafka_facade.client_settings.java_names import Translated, is_security, translate
from kafka_facade.client_settings.likeness import seems_security
from kafka_facade.client_settings.problem import BadSettings

_SAME: Final = (
    "proxy",
    "bearer.auth.identity.pool.id",
    "bearer.auth.logical.cluster",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
)
_BASIC_SOURCE: Final = "basic.auth.credentials.source"
_USER_INFO: Final = "basic.auth.user.info"
_BEARER_SOURCE: Final = "bearer.auth.credentials.source"
_TOKEN: Final = "bearer.auth.token"
_ISSUER: Final = "bearer.auth.issuer.endpoint.url"
_CLUSTER: Final = "bearer.auth.logical.cluster"
# Settings of a token endpoint, and their names in a Kafka client.
_OAUTH: Final = {
    "bearer.auth.client.id": "sasl.oauthbearer.client.id",
    "bearer.auth.client.secret": "sasl.oauthbearer.client.secret",
    "bearer.auth.scope": "sasl.oauthbearer.scope",
    _ISSUER: "sasl.oauthbearer.token.endpoint.url",
}
# Alternatives for the same files: confluent-kafka's names and Java's.
_TWICE: Final = (
    (("ssl.ca.location",), ("ssl.truststore.location", "ssl.truststore.certificates")),
    (
        ("ssl.certificate.location", "ssl.key.location"),
        ("ssl.keystore.location", "ssl.keystore.key", "ssl.keystore.certificate.chain"),
    ),
)
_VISIBLE: Final = re.compile(r"[!-~]+")
_STATIC, _OWN, _INHERITED = "STATIC_TOKEN", "OAUTHBEARER", "SASL_OAUTHBEARER_INHERIT"

KNOWN: Final = frozenset(
    {
        *_SAME,
        _BASIC_SOURCE,
        _USER_INFO,
        _BEARER_SOURCE,
        _TOKEN,
        *_OAUTH,
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.keystore.key",
        "ssl.keystore.certificate.chain",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
        "ssl.truststore.certificates",
    }
)
"""The settings that have an effect, without ``schema.registry.``."""


def without_credentials(urls: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the URLs without credentials, and the credentials as ``user:password``.

    Raises ValueError if the URLs have different credentials: the client sends the same ones to all.
    """
    found: set[str] = set()
    bare = []
    for url in urls:
        parts = urlsplit(url)
        info, _, host = parts.netloc.rpartition("@")
        if info:
            found.add(unquote(info))
        bare.append(urlunsplit(parts._replace(netloc=host)))
    if len(found) > 1 or (found and any("@" not in urlsplit(url).netloc for url in urls)):
        raise ValueError("the same user and password in each URL, or none in any")
    return tuple(bare), found.pop() if found else None


def inherits(properties: Mapping[str, str]) -> bool:
    """Return whether the registry uses the credentials of the Kafka client."""
    return properties.get(_BASIC_SOURCE) == "SASL_INHERIT" or properties.get(_BEARER_SOURCE) == _INHERITED


def client_config(url: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings for confluent-kafka's client.

    ``properties`` have names without ``schema.registry.``, and ``sasl.*`` of the Kafka client if credentials are
    inherited. Raises BadSettings for settings that cannot be applied. Reads key stores.
    """
    urls, in_url = without_credentials(url.split(","))
    found: dict[str, Any] = {"url": ",".join(urls)}
    found |= {name: properties[name] for name in _SAME if properties.get(name)}
    found |= _tls(properties)
    _check_tls(urls, properties, found)
    inherited = translate({name: value for name, value in properties.items() if name.startswith("sasl.")})
    basic = _basic(properties, in_url, inherited)
    bearer = _bearer(properties, inherited)
    if basic is not None and bearer:
        raise BadSettings([_BASIC_SOURCE, _BEARER_SOURCE], "these settings exclude each other")
    if basic is not None:
        found[_USER_INFO] = basic
    return found | bearer


def check_unknown(name: str, value: str) -> bool:
    """Return whether an unknown setting is a security setting without effect. Raises BadSettings if it has an
    effect."""
    if not is_security(name):
        if value and seems_security(name):
            raise BadSettings([name], "it isn't known")
        return False
    if set(translate({name: value}).config.values()) <= {"https"}:
        return True
    raise BadSettings([name], "it isn't supported for the Schema Registry")


def _basic(properties: Mapping[str, str], in_url: str | None, inherited: Translated) -> str | None:
    given = properties.get(_USER_INFO) or None
    source = properties.get(_BASIC_SOURCE) or ("URL" if given is None else "USER_INFO")
    match source:
        case "URL":
            info, other = in_url, given
        case "USER_INFO":
            info, other = given, in_url
            if info is None:
                raise BadSettings([_BASIC_SOURCE, _USER_INFO], "USER_INFO needs a user and a password")
        case "SASL_INHERIT":
            user, password = (inherited.config.get(f"sasl.{name}") for name in ("username", "password"))
            if user is None or password is None:
                raise BadSettings([_BASIC_SOURCE], "the Kafka client has no user and password to inherit")
            info, other = f"{user}:{password}", given or in_url
        case _:
            raise BadSettings([_BASIC_SOURCE], "expected one of URL, USER_INFO, SASL_INHERIT")
    if other is not None:
        raise BadSettings([_BASIC_SOURCE, _USER_INFO, "url"], "credentials are set in two places")
    if info is not None and not info.partition(":")[2]:
        raise BadSettings([_USER_INFO], "expected user:password")
    return info


def _bearer(properties: Mapping[str, str], inherited: Translated) -> dict[str, str]:
    source = properties.get(_BEARER_SOURCE)
    if not source:
        stray = [name for name in (_TOKEN, *_OAUTH) if properties.get(name)]
        if stray:
            raise BadSettings([*stray, _BEARER_SOURCE], f"{_BEARER_SOURCE} is not set, so they would have no effect")
        return {}
    # The client requires it; registries without logical clusters ignore it.
    found = {_BEARER_SOURCE: source, _CLUSTER: properties.get(_CLUSTER, "")}
    match source:
        case "STATIC_TOKEN":
            wanted = {_TOKEN: properties.get(_TOKEN)}
            if not _VISIBLE.fullmatch(wanted[_TOKEN] or "none"):
                raise BadSettings([_TOKEN], "expected a token of visible ASCII characters")
        case "OAUTHBEARER":
            wanted = {name: properties.get(name) for name in _OAUTH}
        case "SASL_OAUTHBEARER_INHERIT":
            found[_BEARER_SOURCE] = _OWN
            wanted = {name: properties.get(name) or inherited.config.get(theirs) for name, theirs in _OAUTH.items()}
        case _:
            names = f"{_STATIC}, {_OWN}, {_INHERITED}"
            raise BadSettings([_BEARER_SOURCE], f"expected one of {names}")
    if source != _STATIC and not wanted["bearer.auth.scope"]:
        wanted["bearer.auth.scope"] = ""
    for name, value in wanted.items():
        if value is None:
            raise BadSettings([_BEARER_SOURCE, name], f"{source} needs {name}")
        found[name] = value
    unused = [name for name in (_TOKEN, *_OAUTH) if properties.get(name) and name not in found]
    if unused:
        raise BadSettings([_BEARER_SOURCE, *unused], f"{source} doesn't use them")
    return found


def _tls(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the key stores as files that the client can read."""
    for own, theirs in _TWICE:
        one, other = ([name for name in names if properties.get(name)] for names in (own, theirs))
        if one and other:
            raise BadSettings([*one, *other], "these settings exclude each other")
    stores = {name: value for name, value in properties.items() if name.startswith("ssl.") and name not in _SAME}
    if "ssl.key.password" in properties and "ssl.key.location" not in properties:
        stores["ssl.key.password"] = properties["ssl.key.password"]
    translated = translate(stores).config
    found = {}
    if "ssl.ca.pem" in translated:
        found["ssl.ca.location"] = key_stores.file_of(translated["ssl.ca.pem"])
    if "ssl.key.pem" in translated:
        chain = translated.get("ssl.certificate.location")
        found["ssl.certificate.location"] = chain or key_stores.file_of(translated["ssl.certificate.pem"])
        found["ssl.key.location"] = key_stores.file_of(translated["ssl.key.pem"])
    return found


def _check_tls(urls: Sequence[str], properties: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """Check that the client uses its TLS files and can read them, since its own errors name neither file nor reason."""
    given = [name for name in properties if name.startswith("ssl.") and properties[name] and not name.endswith(".type")]
    if given and not any(urlsplit(url).scheme == "https" for url in urls):
        raise BadSettings(given, "unused with http URLs; use https or remove them")
    trusted = [name for name in given if name.startswith(("ssl.ca.", "ssl.truststore."))]
    own = [name for name in given if name not in trusted]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if (location := found.get("ssl.ca.location")) is not None:
        kind = "capath" if Path(location).is_dir() else "cafile"
        _try(trusted, lambda: context.load_verify_locations(**{kind: location}))
    certificate, key = found.get("ssl.certificate.location"), found.get("ssl.key.location")
    if certificate is not None:
        # Without a password OpenSSL would prompt for one on the terminal.
        password = found.get("ssl.key.password") or ""
        _try(own, lambda: context.load_cert_chain(certificate, key, password))
    elif own:
        raise BadSettings(own, "there is no certificate for them")


def _try(names: list[str], load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise BadSettings(names, "the file has no such PEM, or the password is wrong") from None
    except (OSError, ValueError) as error:
        raise BadSettings(names, getattr(error, "strerror", None) or str(error)) from None
