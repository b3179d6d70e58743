"""Settings that are meant to protect and that this gateway doesn't know or doesn't honour yet: they stop the start.

A gateway that goes without what somebody has set up to protect it is open where they believe it closed. Values that
change nothing, such as Java's defaults, pass.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from kafka_facade.client_settings.likeness import seems_security

_UNSET: Final = frozenset({""})
_OFF: Final = frozenset({"", "false"})

# By name: the values that change nothing, in small letters.
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
    # The default is true, which is of TLS only.
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
# With one of these beginnings everything is about security. What is a detail of something above passes where that is
# off: it then changes nothing in the official proxy either.
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
# A switch by this end of its name asks for nothing where it is off.
_SWITCHES: Final = (".enable", ".enabled", ".validation")
_LISTENER: Final = "listener.name."
# A Kafka client's, without the prefix that says so.
_CLIENT: Final = ("sasl.", "security.")
# What stands before the settings of clients, without what is between letters.
_PREFIXES: Final = ("client", "producer", "consumer", "admin", "schemaregistry")
_BEHIND_A_PREFIX: Final = (*_CLIENT, "ssl.", "basic.auth.", "bearer.auth.")
_ALIKE: Final = 0.75
# The gateway's own settings that protect it, by their letters and digits; with these beginnings it has no others.
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
_OWN_BEGINNINGS: Final = ("access.control.", "api.endpoint", "graphql.", "grpc.")
_ALIKE_OWN: Final = 0.85
# The official proxy's, of which a misspelling may begin as details do.
_OFFICIAL: Final = {"".join(filter(str.isalnum, name)): name for name in _NAMES}
# Details of others are less alike.
_ALIKE_OFFICIAL: Final = 0.9
# Other words for who may come in, and for what browsers may do.
_ENTRANCES: Final = ("cors.", "csrf.", "hsts.", "jetty.login.", "login.", "nosniff.", "oidc.")


def refusal(key: str, value: str) -> str | None:
    """Why the gateway doesn't start with a setting that it doesn't know; None where it is not about security."""
    name = key.lower()
    if name.startswith(_LISTENER):
        # A listener's own.
        name = name.removeprefix(_LISTENER).partition(".")[2]
    value = value.strip().lower()
    if value and name not in _NAMES:
        meant = _meant(name, value)
        if meant is not None:
            return f"{key} isn't known; {meant} resembles it: correct it or remove it"
        if name.startswith(_OWN_BEGINNINGS):
            return f"{key} isn't known, and may be meant to protect: correct it or remove it"
    if _is_harmless(name, value):
        return None
    kafka = name.removeprefix("kafka.")
    hint = f"; for Kafka it is client.{kafka}" if kafka.startswith(_CLIENT) else ""
    return f"{key} is an unsupported security setting; remove it to run without that protection{hint}"


def _meant(name: str, value: str) -> str | None:
    """The protection that an unknown name may be a misspelling of, or has another prefix than."""
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
    return not (name.startswith((*_BEGINNINGS, *_ENTRANCES)) or seems_security(name) or _has_misspelt_prefix(name))


def _has_misspelt_prefix(name: str) -> bool:
    prefix, _, rest = name.lower().partition(".")
    letters = "".join(filter(str.isalpha, prefix))
    return rest.startswith(_BEHIND_A_PREFIX) and bool(get_close_matches(letters, _PREFIXES, 1, _ALIKE))
