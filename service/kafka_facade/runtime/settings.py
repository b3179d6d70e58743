"""The settings of the gateway: the sections that the rooms declare, and how they are read.

Settings have the names of ``kafka-rest.properties``; :mod:`.sources` says where they come from. Keys that begin with
``client.``, ``producer.``, ``consumer.`` or ``admin.`` and are no setting of a section are passed to the Kafka clients.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka_facade.client_settings.java_names import overridden
from kafka_facade.client_settings.options import ROLES, ClusterOptions, RegistryOptions
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.client_settings.registry import without_credentials
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.options import CoreOptions
from kafka_facade.core.secrets import SecretProperties, secrets_of, shown
from kafka_facade.core.state.options import StateOptions
from kafka_facade.kafka.options import PoolOptions
from kafka_facade.peers.options import PeersOptions
from kafka_facade.rest.options import RestOptions
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.runtime.options import ProcessOptions
from kafka_facade.runtime.registry_settings import registry_name, registry_properties, take
from kafka_facade.runtime.security_settings import refusal
from kafka_facade.runtime.sources import SettingsError, properties_of
from kafka_facade.settings.declaration import Setting, settings_of
from kafka_facade.web.options import CrossOriginOptions, HttpOptions
from kafka_facade_graphql.options import GraphQLOptions

_CLIENT_PREFIXES = ("client.", *(f"{role}." for role in ROLES))
# Defaults for consumer instances. They may be set under client.*, but are not passed to the Kafka clients.
_OF_INSTANCES = ("auto.offset.reset", "enable.auto.commit")
_URL_ALIAS = "client.schema.registry.url"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, validated, by section."""

    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    http: HttpOptions = field(default_factory=HttpOptions)
    peers: PeersOptions = field(default_factory=PeersOptions)
    rest: RestOptions = field(default_factory=RestOptions)
    grpc: RpcOptions = field(default_factory=RpcOptions)
    graphql: GraphQLOptions = field(default_factory=GraphQLOptions)
    cross_origin: CrossOriginOptions = field(default_factory=CrossOriginOptions)
    core: CoreOptions = field(default_factory=CoreOptions)
    consumers: ConsumerDefaults = field(default_factory=ConsumerDefaults)
    state: StateOptions = field(default_factory=StateOptions)
    balancer: BalancerOptions = field(default_factory=BalancerOptions)
    pool: PoolOptions = field(default_factory=PoolOptions)
    process: ProcessOptions = field(default_factory=ProcessOptions)

    def secrets(self) -> set[str]:
        """Return the secret values, for redaction in texts."""
        return self.cluster.secrets() | secrets_of(self.registry.properties)


def sections() -> dict[str, type[Any]]:
    """Return the classes of the sections, by their fields in :class:`Settings`."""
    return {entry.name: entry.default_factory for entry in dataclasses.fields(Settings)}  # type: ignore[misc]


def known_settings() -> dict[str, Setting]:
    """Return the settings of all sections, by key."""
    return {setting.key: setting for section in sections().values() for _, setting in settings_of(section)}


def load(
    file: Path | None, overrides: Iterable[str], environment: Mapping[str, str] = os.environ
) -> tuple[Settings, list[str]]:
    """Return the settings, and a warning for each key without effect.

    Raises SettingsError for the first bad value, and for an unsupported security setting.
    """
    properties = _with_one_url(properties_of(file, overrides, environment))
    known = known_settings()
    values: dict[str, Any] = {}
    clients: dict[str, dict[str, str]] = {prefix: {} for prefix in _CLIENT_PREFIXES}
    registry: dict[str, str] = {}
    warnings = []
    for key, given in properties.items():
        text = given.strip()
        name = registry_name(key)
        if key in known:
            values[key] = _parse(key, text, known[key].parse)
        elif name is not None:
            with _naming():
                if not take(registry, key, name, text):
                    warnings.append(_no_effect(key))
        elif key.startswith(_CLIENT_PREFIXES):
            prefix, _, name = key.partition(".")
            clients[prefix + "."][name] = text
        elif (reason := refusal(key, text)) is not None:
            raise SettingsError(reason)
        else:
            warnings.append(_no_effect(key))
    shared = clients.pop("client.")
    for name in _OF_INSTANCES:
        if name in shared:
            key = f"consumer.{name}"
            values.setdefault(key, _parse(f"client.{name}", shared.pop(name), known[key].parse))
    made = {name: _section(section, values) for name, section in sections().items()}
    own = {role: SecretProperties(overridden(shared, clients[f"{role}."])) for role in ROLES}
    made["cluster"] = dataclasses.replace(made["cluster"], client=SecretProperties(shared), **own)
    made["registry"] = _registry(made["registry"].urls, registry, shared)
    return Settings(**made), warnings


def _section(section: type[Any], values: Mapping[str, Any]) -> Any:
    return section(**{name: values[setting.key] for name, setting in settings_of(section) if setting.key in values})


def _registry(urls: Sequence[str], given: dict[str, str], client: dict[str, str]) -> RegistryOptions:
    with _naming():
        properties = registry_properties(urls, given, client)
    return RegistryOptions(without_credentials(urls)[0] if urls else (), properties)


def _with_one_url(properties: dict[str, str]) -> dict[str, str]:
    """Return the properties with the URL of the Schema Registry under one of its two names."""
    url = properties.pop(_URL_ALIAS, None)
    if url is not None and properties.setdefault("schema.registry.url", url) != url:
        raise SettingsError(f"{_URL_ALIAS}: schema.registry.url is the same setting and has a different value")
    return properties


@contextlib.contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except BadSettings as error:
        raise SettingsError(str(error)) from None


def _no_effect(key: str) -> str:
    return f"the setting {key} isn't known and has no effect"


def _parse(key: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{key} is {shown(key, text)}; expected {error}") from None
