"""Rejects security settings that the gateway does not support, so that it does not start without them.

Ignoring such a setting would leave the gateway open where its operator believes it is protected. Values without effect,
such as Java's defaults, are accepted.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from kafka_facade.client_settings.likeness import seems_security

_UNSET: Final = frozenset({""})
_OFF: Final = frozenset({"", "false"})

# For each name the values that have no effect, in lower case.
_NAMES: Final[dict[str, frozenset[str]]] = {
    "api.v3.produce.rate.limit.enabled": _OFF,
    "api.v3.produce.request.size.limit.max.bytes": frozenset({"", "0"}),
    "authentication.method": frozenset({"", "none"}),
    "authentication.roles": frozenset({"", "*", "**"}),
    "connector.connection.limit": frozenset({"", "0"}),
    "csrf.prevention.enable": _OFF,
    "dos.filter.enabled": _OFF,
    "dos.filter.tenant.enabled": _OFF,
    "enable.fips": _OFF,
    "expected.sni.headers": _UNSET,
    "fips.enabled": _OFF,
    "hsts.header.enable": _OFF,
    "kafka.rest.resource.extension.class": _UNSET,
    "nosniff.prevention.enable": _OFF,
    "prefix.sni.check.enabled": _OFF,
    "proxy.protocol.enabled": _OFF,
    "public.key.path": _UNSET,
    "rate.limit.enable": _OFF,
    "network.traffic.rate.limit.enable": _OFF,
    "reject.options.request": _OFF,
    "response.http.headers.config": _UNSET,
    "resource.extension.classes": _UNSET,
    "rest.servlet.initializor.classes": _UNSET,
    "websocket.servlet.initializor.classes": _UNSET,
    "server.connection.limit": frozenset({"", "0"}),
    "sni.check.enabled": _OFF,
    # The default is true, but it only affects TLS.
    "sni.host.check.enabled": frozenset({"", "false", "true"}),
    "ssl.cipher.suites": _UNSET,
    "ssl.client.auth": _OFF,
    "ssl.client.authentication": frozenset({"", "none"}),
    "ssl.enabled.protocols": _UNSET,
    "ssl.endpoint.identification.algorithm": frozenset({"", "https"}),
    "ssl.keymanager.algorithm": _UNSET,
    "ssl.keystore.reload": _OFF,
    "ssl.keystore.type": frozenset({"", "jks", "pkcs12", "pem"}),
    "ssl.protocol": frozenset({"", "tls"}),
    "ssl.spire.enabled": _OFF,
    "ssl.trustmanager.algorithm": _UNSET,
    "ssl.truststore.type": frozenset({"", "jks", "pkcs12", "pem"}),
}
# All settings with one of these prefixes concern security. They are accepted if the feature that they belong to is off,
# because then they have no effect in the official proxy either.
_DETAILS: Final[dict[str, str]] = {
    "csrf.prevention.": "csrf.prevention.enable",
    "dos.filter.": "dos.filter.enabled",
    "prefix.sni.": "prefix.sni.check.enabled",
    "ssl.spire.": "ssl.spire.enabled",
    "authentication.realm": "authentication.method",
    "authentication.skip.paths": "authentication.method",
}
_BEGINNINGS: Final = (
    "authentication.",
    "authorization.",
    "authorizer.",
    "basic.auth.",
    "bearer.auth.",
    "config.providers",
    "confluent.audit.",
    "confluent.authorizer.",
    "confluent.basic.auth.",
    "confluent.bearer.auth.",
    "confluent.http.server.authorizer",
    "confluent.metadata.",
    "confluent.oidc.",
    "confluent.rest.auth.",
    "confluent.security.",
    "impersonation.",
    "java.security.",
    "kafka.principal",
    "kafka.sasl.",
    "kafka.security.",
    "kafka.ssl.",
    "oauthbearer.",
    "peers.ssl.",
    "rest.auth.",
    "sasl.",
    "security.",
    "sni.",
    "ssl.",
    "token.impersonation.",
)
# A setting with one of these suffixes is a switch, which has no effect if it is off.
_SWITCHES: Final = (".enable", ".enabled", ".validation")
_LISTENER: Final = "listener.name."
# Settings of a Kafka client without its prefix.
_CLIENT: Final = ("sasl.", "security.")
# Prefixes of client settings, without separators.
_PREFIXES: Final = ("client", "producer", "consumer", "admin", "schemaregistry")
_BEHIND_A_PREFIX: Final = (*_CLIENT, "ssl.", "basic.auth.", "bearer.auth.")
_ALIKE: Final = 0.75
# The gateway's own security settings, keyed by their letters and digits only.
_PROTECTING: Final = {
    "".join(filter(str.isalnum, name)): name
    for name in (
        "access.control.allow.headers",
        "access.control.allow.methods",
        "access.control.allow.origin",
        "access.control.expose.headers",
        "access.control.own.hosts",
        "api.endpoints.allowlist",
        "api.endpoints.blocklist",
        "api.v2.enable",
        "api.v3.enable",
        "graphql.enable",
        "graphql.graphiql.enable",
        "graphql.introspection.enable",
        "graphql.max.aliases",
        "graphql.max.cost",
        "graphql.max.depth",
        "graphql.max.document.size",
        "graphql.max.objects",
        "graphql.max.request.size",
        "graphql.max.tokens",
        "max.request.body.size",
    )
}
_OWN_BEGINNINGS: Final = ("access.control.", "api.endpoint", "graphql.", "grpc.", "listeners.")
_ALIKE_OWN: Final = 0.85
# The gateway's own addresses and limits, keyed likewise.
_LIMITING: Final = {
    "".join(filter(str.isalnum, name)): name
    for name in (
        "advertised.listeners",
        "api.request.timeout.ms",
        "api.v3.produce.batch.maximum.entries",
        "consumer.instance.timeout.ms",
        "consumer.instances.max",
        "consumer.prefetch.max.bytes",
        "consumer.request.max.bytes",
        "consumer.request.timeout.ms",
        "grpc.listeners",
        "grpc.max.request.bytes",
        "grpc.max.response.bytes",
        "host.name",
        "idle.timeout.ms",
        "kafka.clients.idle.ms",
        "kafka.clients.max",
        "listeners",
        "request.body.timeout.ms",
        "response.write.timeout.ms",
        "shutdown.timeout.ms",
        "streaming.connection.max.duration.ms",
        "streaming.max.in.flight.bytes",
        "streaming.max.in.flight.records",
    )
}
_LISTENERS: Final = ("grpc.listeners", "listeners", "peers.listener")
# An official setting without effect here, the grace period of streams, is 0.85 alike.
_ALIKE_LIMIT: Final = 0.88
# Those of the official proxy; a misspelling of one may start like a detail setting.
_OFFICIAL: Final = {"".join(filter(str.isalnum, name)): name for name in _NAMES}
# Similarity above which an unknown name counts as a misspelling of one; detail settings are less similar.
_ALIKE_OFFICIAL: Final = 0.9
# Further prefixes that suggest access control or browser security.
_ENTRANCES: Final = ("cors.", "csrf.", "hsts.", "jetty.login.", "login.", "nosniff.", "oidc.")
# Words of settings that would decide who may call.
_PROTECTIVE_WORDS: Final = frozenset(
    {"allowlist", "authorizer", "blacklist", "blocklist", "denylist", "htpasswd", "whitelist"}
)


def refusal(key: str, value: str) -> str | None:
    """Return why an unknown setting stops the start; None if it does not concern security."""
    name = key.lower()
    if name.startswith(_LISTENER):
        # Strip the prefix of settings for a single listener.
        name = name.removeprefix(_LISTENER).partition(".")[2]
    value = value.strip().lower()
    limit = resembled(name)
    if limit is not None and (value or limit in _LISTENERS):
        return resemblance(key, limit)
    if value and name not in _NAMES:
        meant = _meant(name, value)
        if meant is not None:
            return resemblance(key, meant)
        if name.startswith(_OWN_BEGINNINGS):
            return f"{key} isn't known and may be a misspelled security setting: correct it or remove it"
    if _is_harmless(name, value):
        return None
    kafka = name.removeprefix("kafka.")
    hint = f"; for Kafka it is client.{kafka}" if kafka.startswith(_CLIENT) else ""
    return f"{key} is an unsupported security setting; remove it to run without that protection{hint}"


def resembled(name: str) -> str | None:
    """Return the address or limit of the gateway that an unknown name may be a misspelling of."""
    name = name.lower()
    words = _words(name)
    if name.removesuffix("s").endswith("listener"):
        return "peers.listener" if "peer" in words else "grpc.listeners" if "grpc" in words else "listeners"
    for own in _LIMITING.values():
        if _words(own) == words:
            return own
    found = get_close_matches("".join(filter(str.isalnum, name)), _LIMITING, 1, _ALIKE_LIMIT)
    return _LIMITING[found[0]] if found else None


def resemblance(key: str, meant: str) -> str:
    """Return the message about an unknown key."""
    return f"{key} isn't known; {meant} resembles it: correct it or remove it"


def _words(name: str) -> list[str]:
    """Return the words of a name in order, in the singular and without its unit of time."""
    found = re.split("[^a-z0-9]+", name.replace("maximum", "max").replace("entries", "entry"))
    return sorted(word.removesuffix("s") for word in found if word != "ms")


def _meant(name: str, value: str) -> str | None:
    """Return the security setting that an unknown name may be a misspelling of, or has with another prefix."""
    letters = "".join(filter(str.isalnum, name))
    own = get_close_matches(letters, _PROTECTING, 1, _ALIKE_OWN) or list(filter(letters.endswith, _PROTECTING))
    if own:
        return _PROTECTING[own[0]]
    official = get_close_matches(letters, _OFFICIAL, 1, _ALIKE_OFFICIAL)
    if not official or value in _NAMES[_OFFICIAL[official[0]]]:
        return None
    return _OFFICIAL[official[0]]


def _is_harmless(name: str, value: str) -> bool:
    if name in _NAMES:
        return value in _NAMES[name]
    if any(name.startswith(beginning) for beginning in _DETAILS):
        return True
    if name.endswith(_SWITCHES) and value in _OFF:
        return True
    if not value:
        return True
    if not _PROTECTIVE_WORDS.isdisjoint(_words(name)):
        return False
    return not (name.startswith((*_BEGINNINGS, *_ENTRANCES)) or seems_security(name) or _has_misspelt_prefix(name))


def _has_misspelt_prefix(name: str) -> bool:
    prefix, _, rest = name.lower().partition(".")
    letters = "".join(filter(str.isalpha, prefix))
    return rest.startswith(_BEHIND_A_PREFIX) and bool(get_close_matches(letters, _PREFIXES, 1, _ALIKE))
