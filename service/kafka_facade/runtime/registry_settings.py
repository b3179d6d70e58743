"""Settings of the Schema Registry client, in all their official spellings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.client_settings.registry import KNOWN, check_unknown, inherits, without_credentials
from kafka_facade.core.secrets import SecretProperties

_PREFIX = "schema.registry."
# The official proxy also accepts these prefixes, including credentials without "schema.registry".
_ALIASES = ("client.schema.registry.", "client.basic.auth.", "client.bearer.auth.")


def registry_name(key: str) -> str | None:
    """Return the name of a Schema Registry setting without its prefix; None for other settings."""
    if key.startswith(_PREFIX):
        return key.removeprefix(_PREFIX)
    if key.startswith(_ALIASES):
        return key.removeprefix("client.").removeprefix(_PREFIX)
    return None


def take(found: dict[str, str], key: str, name: str, value: str) -> bool:
    """Add a setting and return whether it is known. Raises BadSettings if it cannot be applied."""
    if name not in KNOWN:
        try:
            return check_unknown(name, value)
        except BadSettings as error:
            raise BadSettings([key], error.reason) from None
    if found.setdefault(name, value) != value:
        raise BadSettings([key], "the same setting has a different value under another name")
    return True


def registry_properties(urls: Sequence[str], given: Mapping[str, str], client: Mapping[str, str]) -> SecretProperties:
    """Return the registry's settings, with credentials from its URLs or shared with the Kafka client."""
    found = SecretProperties(given)
    if inherits(found):
        found |= {name: value for name, value in client.items() if name.startswith("sasl.")}
    try:
        _, in_url = without_credentials(urls)
        if in_url is not None:
            no_credentials = "no user and password in the URL"
            if found.get("basic.auth.user.info"):
                raise ValueError(f"{no_credentials} together with {_PREFIX}basic.auth.user.info")
            if found.get("basic.auth.credentials.source", "URL") != "URL":
                raise ValueError(f"{no_credentials} unless {_PREFIX}basic.auth.credentials.source is URL")
            found |= {"basic.auth.user.info": in_url, "basic.auth.credentials.source": "USER_INFO"}
    except ValueError as error:
        raise BadSettings([f"{_PREFIX}url"], f"expected {error}") from None
    return found
