"""Translates the Java client's settings to librdkafka's names. Applies security settings, or rejects them by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kafka_facade.client_settings import jaas, key_stores
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.core.secrets import SecretProperties

_RENAMED: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "max.request.size": ("message.max.bytes", str),
    "buffer.memory": ("queue.buffering.max.kbytes", lambda value: str(max(1, int(value) // 1024))),
    "fetch.max.wait.ms": ("fetch.wait.max.ms", str),
    "send.buffer.bytes": ("socket.send.buffer.bytes", str),
    "receive.buffer.bytes": ("socket.receive.buffer.bytes", str),
    "request.timeout.ms": ("socket.timeout.ms", str),
    "partitioner.class": ("partitioner", str),
    "sasl.oauthbearer.client.credentials.client.id": ("sasl.oauthbearer.client.id", str),
    "sasl.oauthbearer.client.credentials.client.secret": ("sasl.oauthbearer.client.secret", str),
    "sasl.mechanisms": ("sasl.mechanism", str),
}
_STORES: Final = frozenset(
    {
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.keystore.key",
        "ssl.keystore.certificate.chain",
        "ssl.key.password",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
        "ssl.truststore.certificates",
    }
)
_OAUTH: Final = "org.apache.kafka.common.security.oauthbearer."
# Security settings of the Java client without a counterpart in librdkafka, and their values without effect. An empty
# value means Java's null. Besides, a setting whose other value the gateway could not work with.
_WITHOUT_EFFECT: Final[dict[str, frozenset[str]]] = {
    "delivery.report.only.error": frozenset({"false"}),
    "ssl.protocol": frozenset({"TLS", "TLSv1.3", "TLSv1.2"}),
    "ssl.provider": frozenset(),
    "ssl.engine.factory.class": frozenset(),
    "ssl.keymanager.algorithm": frozenset({"SunX509"}),
    "ssl.trustmanager.algorithm": frozenset({"PKIX"}),
    "ssl.secure.random.implementation": frozenset(),
    "security.providers": frozenset(),
    "sasl.login.class": frozenset(),
    "sasl.client.callback.handler.class": frozenset(),
    "sasl.login.callback.handler.class": frozenset(
        {f"{_OAUTH}OAuthBearerLoginCallbackHandler", f"{_OAUTH}secured.OAuthBearerLoginCallbackHandler"}
    ),
    "sasl.oauthbearer.jwt.retriever.class": frozenset(
        {f"{_OAUTH}DefaultJwtRetriever", f"{_OAUTH}ClientCredentialsJwtRetriever"}
    ),
    "sasl.oauthbearer.jwt.validator.class": frozenset({f"{_OAUTH}DefaultJwtValidator", f"{_OAUTH}ClientJwtValidator"}),
    "sasl.oauthbearer.header.urlencode": frozenset({"false"}),
    "sasl.oauthbearer.scope.claim.name": frozenset({"scope"}),
    "sasl.oauthbearer.sub.claim.name": frozenset({"sub"}),
    "sasl.oauthbearer.clock.skew.seconds": frozenset({"30"}),
    "sasl.login.refresh.window.factor": frozenset({"0.8"}),
    "sasl.login.refresh.window.jitter": frozenset({"0.05"}),
    "sasl.login.refresh.min.period.seconds": frozenset({"60"}),
    "sasl.login.refresh.buffer.seconds": frozenset({"300"}),
    "sasl.login.retry.backoff.ms": frozenset({"100"}),
    "sasl.login.retry.backoff.max.ms": frozenset({"10000"}),
    "sasl.login.connect.timeout.ms": frozenset(),
    "sasl.login.read.timeout.ms": frozenset(),
    "sasl.kerberos.ticket.renew.window.factor": frozenset({"0.8"}),
    "sasl.kerberos.ticket.renew.jitter": frozenset({"0.05"}),
}
# These interceptors only collect metrics. Others may encrypt records or keep an audit log.
_MEASURING: Final = "io.confluent.monitoring.clients.interceptor."
# Serializers that only encode; the gateway encodes records itself.
_ENCODING: Final = ("org.apache.kafka.common.serialization.", "io.confluent.kafka.serializers.")
_SERIALIZERS: Final = ("key.serializer", "value.serializer", "key.deserializer", "value.deserializer")
_PROVIDERS: Final = "config.providers"
_MODERN_TLS: Final = frozenset({"TLSv1.2", "TLSv1.3"})
_SECURITY: Final = (
    "ssl.",
    "sasl.",
    "security.",
    "enable.ssl.",
    "enable.sasl.",
    "basic.auth.",
    "bearer.auth.",
)
# For each login module: its mechanism or prefix of mechanisms, its options with librdkafka's names, and those without
# effect.
_PASSWORD_OPTIONS: Final = {"username": "sasl.username", "password": "sasl.password"}
_MODULES: Final[dict[str, tuple[str, dict[str, str], frozenset[str]]]] = {
    "PlainLoginModule": ("PLAIN", _PASSWORD_OPTIONS, frozenset()),
    "ScramLoginModule": ("SCRAM-", _PASSWORD_OPTIONS, frozenset()),
    "OAuthBearerLoginModule": (
        "OAUTHBEARER",
        {
            "clientId": "sasl.oauthbearer.client.id",
            "clientSecret": "sasl.oauthbearer.client.secret",
            "scope": "sasl.oauthbearer.scope",
        },
        frozenset(),
    ),
    "Krb5LoginModule": (
        "GSSAPI",
        {
            "keyTab": "sasl.kerberos.keytab",
            "principal": "sasl.kerberos.principal",
            "serviceName": "sasl.kerberos.service.name",
        },
        frozenset({"useKeyTab", "storeKey", "useTicketCache", "renewTicket", "doNotPrompt", "debug"}),
    ),
}
_EXTENSION: Final = "extension_"
_EXTENSION_TEXT: Final = re.compile(r"[^,=]+")


@dataclass(frozen=True, slots=True)
class Translated:
    """Settings under librdkafka's names, and for each of them the original names."""

    config: SecretProperties = field(default_factory=SecretProperties)
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def put(self, name: str, value: str, *given: str) -> None:
        """Set a value. Raises BadSettings if the name already has a different value."""
        if self.config.get(name, value) != value:
            raise BadSettings([*self.origins[name], *given], "these settings contradict each other")
        self.config[name] = value
        self.origins[name] = (*self.origins.get(name, ()), *(entry for entry in given))


def overridden(base: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of ``base`` overridden by those of ``own``, also under their other names."""
    given = {_meaning(name) for name in own}
    return {name: value for name, value in base.items() if _meaning(name) not in given} | dict(own)


def _meaning(name: str) -> str:
    return _RENAMED[name][0] if name in _RENAMED else name


def is_security(name: str) -> bool:
    """Return whether a client setting, without its prefix, concerns security."""
    return name.removeprefix("schema.registry.").startswith(_SECURITY)


def translate(properties: Mapping[str, str]) -> Translated:
    """Return the settings under librdkafka's names. Other names stay unchanged, including unknown ones.

    Raises BadSettings for a security setting that cannot be applied. Reads key stores.
    """
    found = Translated()
    for name, value in properties.items():
        _check_classes(name, value)
        if name == "ssl.endpoint.identification.algorithm":
            found.put(name, value or "none", name)
        elif name == "ssl.enabled.protocols":
            _check_protocols(value)
        elif name in _WITHOUT_EFFECT:
            _check_without_effect(name, value)
        elif name in _RENAMED:
            renamed, convert = _RENAMED[name]
            try:
                found.put(renamed, convert(value), name)
            except ValueError as error:
                raise error if isinstance(error, BadSettings) else BadSettings([name], str(error)) from None
        elif name not in _STORES and name != "sasl.jaas.config" and not (is_security(name) and not value):
            found.put(name, value, name)
    if "sasl.jaas.config" in properties:
        _login(properties, found)
    _key_store(properties, found)
    _trust_store(properties, found)
    _check_oauth(found)
    return found


def _check_protocols(value: str) -> None:
    given = {entry.strip() for entry in value.split(",") if entry.strip()}
    if given and given != _MODERN_TLS:
        raise BadSettings(["ssl.enabled.protocols"], "only TLSv1.2,TLSv1.3 is supported")


def _check_classes(name: str, value: str) -> None:
    """Reject classes of Java that may protect records or provide secrets. Others have no effect."""
    given = [entry.strip() for entry in value.split(",") if entry.strip()]
    reason = "the Kafka client doesn't support {}, which may be meant to protect records"
    if name == "interceptor.classes" and not all(entry.startswith(_MEASURING) for entry in given):
        raise BadSettings([name], reason.format("interceptors"))
    if name in _SERIALIZERS and not all(entry.startswith(_ENCODING) for entry in given):
        raise BadSettings([name], reason.format("serializers"))
    if given and (name == _PROVIDERS or name.startswith(f"{_PROVIDERS}.")):
        raise BadSettings([name], "not supported; put the provided values into the settings")


def _check_without_effect(name: str, value: str) -> None:
    allowed = _WITHOUT_EFFECT[name]
    if value and value not in allowed:
        usual = f"; only {' or '.join(sorted(allowed))} is supported" if allowed else ""
        raise BadSettings([name], f"not supported by the Kafka client{usual}")


def _login(properties: Mapping[str, str], found: Translated) -> None:
    """Translate ``sasl.jaas.config``."""
    name = "sasl.jaas.config"
    if not properties[name]:
        return
    try:
        module = jaas.parse(properties[name])
    except ValueError as error:
        raise BadSettings([name], str(error)) from None
    if module.name not in _MODULES:
        raise BadSettings([name], f"expected one of the login modules {', '.join(_MODULES)}")
    mechanism, options, without_effect = _MODULES[module.name]
    chosen = found.config.get("sasl.mechanism", "GSSAPI")
    if not chosen.upper().startswith(mechanism):
        raise BadSettings(["sasl.mechanism", name], f"{module.name} is not for the mechanism {chosen}")
    extensions = {}
    for option, value in module.options.items():
        if option in options:
            found.put(options[option], value, name)
        elif option.startswith(_EXTENSION) and mechanism == "OAUTHBEARER":
            extensions[option.removeprefix(_EXTENSION)] = value
        elif option not in without_effect:
            raise BadSettings([name], f"the option {option[:100]} of {module.name} isn't supported")
    if extensions:
        if not all(map(_EXTENSION_TEXT.fullmatch, [*extensions, *extensions.values()])):
            raise BadSettings([name], "extensions can't hold commas or equals signs")
        text = ",".join(f"{key}={value}" for key, value in extensions.items())
        found.put("sasl.oauthbearer.extensions", text, name)


def _check_oauth(found: Translated) -> None:
    """Require tokens from an endpoint by client credentials; otherwise the client would wait forever for a token."""
    config = found.config
    if config.get("sasl.mechanism", "").upper() != "OAUTHBEARER":
        return
    if config.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true":
        return
    if "sasl.oauthbearer.method" not in config:
        found.put("sasl.oauthbearer.method", "oidc", *found.origins["sasl.mechanism"])
    if config["sasl.oauthbearer.method"].lower() != "oidc":
        raise BadSettings(["sasl.oauthbearer.method"], "only oidc is supported")


def _key_store(properties: Mapping[str, str], found: Translated) -> None:
    """Translate ``ssl.keystore.*`` and ``ssl.key.password``."""
    given = [name for name in properties if name in _STORES and properties[name] and "truststore" not in name]
    if not given:
        return
    location, password = _given(properties, "ssl.keystore.location"), _given(properties, "ssl.keystore.password")
    key, chain = _given(properties, "ssl.keystore.key"), _given(properties, "ssl.keystore.certificate.chain")
    key_password = _given(properties, "ssl.key.password")
    _check_type(properties, "ssl.keystore.type")
    _check_alone(found, given, "ssl.key.location", "ssl.key.pem", "ssl.certificate.location", "ssl.certificate.pem")
    try:
        if location is not None:
            if key is not None or chain is not None:
                raise ValueError("a key store location can't be combined with a key in the settings")
            store = key_stores.read_key_store(location, password, key_password)
        elif key is not None or chain is not None:
            if password is not None:
                raise ValueError("a PEM key has no key store password; use ssl.key.password")
            store = key_stores.pem_key_store(key or "", chain or "", key_password)
        elif given == ["ssl.key.password"] and {"ssl.key.location", "ssl.key.pem"} & properties.keys():
            found.put("ssl.key.password", key_password or "", "ssl.key.password")
            return
        elif given == ["ssl.keystore.type"]:
            return
        else:
            raise ValueError("no key store is configured")
    except ValueError as error:
        raise BadSettings(given, str(error)) from None
    found.put("ssl.key.pem", store.key, *given)
    if store.key_password is not None:
        found.put("ssl.key.password", store.key_password, *given)
    if len(store.certificates) == 1:
        found.put("ssl.certificate.pem", store.certificates[0], *given)
    else:
        # The client accepts only one certificate as text, without intermediate ones.
        found.put("ssl.certificate.location", key_stores.file_of("".join(store.certificates)), *given)


def _trust_store(properties: Mapping[str, str], found: Translated) -> None:
    """Translate ``ssl.truststore.*``."""
    given = [name for name in properties if name.startswith("ssl.truststore.") and properties[name]]
    location, text = _given(properties, "ssl.truststore.location"), _given(properties, "ssl.truststore.certificates")
    password = _given(properties, "ssl.truststore.password")
    _check_type(properties, "ssl.truststore.type")
    if not given or given == ["ssl.truststore.type"]:
        return
    _check_alone(found, given, "ssl.ca.location", "ssl.ca.pem")
    try:
        if (location is None) == (text is None):
            raise ValueError("expected either a location or certificates")
        if location is not None:
            found.put("ssl.ca.pem", key_stores.read_trust_store(location, password), *given)
        elif password is not None:
            raise ValueError("PEM certificates have no password")
        else:
            found.put("ssl.ca.pem", key_stores.pem_trust_store(text or ""), *given)
    except BadSettings:
        raise
    except ValueError as error:
        raise BadSettings(given, str(error)) from None


def _check_alone(found: Translated, given: list[str], *names: str) -> None:
    """Reject a second store, since the client would ignore one of them."""
    others = [origin for name in names for origin in found.origins.get(name, ())]
    if others and not all(name.endswith((".type", ".key.password")) for name in given):
        raise BadSettings([*given, *others], "these settings exclude each other")


def _given(properties: Mapping[str, str], name: str) -> str | None:
    return properties.get(name) or None


def _check_type(properties: Mapping[str, str], name: str) -> None:
    if _given(properties, name) is not None and properties[name].upper() not in key_stores.TYPES:
        raise BadSettings([name], f"expected one of {', '.join(key_stores.TYPES)}")
