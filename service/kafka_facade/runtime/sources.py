"""Where settings come from.

In order of precedence: ``-p key=value``, ``KAFKA_REST_*`` environment variables (spelled as for the official container
image), and the properties file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import javaproperties

from kafka_facade.core.secrets import shown

_ENVIRONMENT_PREFIX = "KAFKA_REST_"
# Environment variables of the container image that are not settings of the proxy.
_NO_SETTINGS = ("log4j.", "opts", "jmx.", "heap.")


class SettingsError(Exception):
    """A setting has a bad value. The message has the key, the value unless it is secret, and the expected values."""


def properties_of(file: Path | None, overrides: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of all sources, by key. Raises SettingsError if one cannot be read."""
    return _from_file(file) | _from_environment(environment) | _from_options(overrides)


def _from_file(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        with file.open("rb") as stream:
            text = stream.read()
        if b"\0" in text:
            # Probably UTF-16; each name in it would be unknown.
            raise SettingsError(
                f"{file} isn't a properties file: it contains null bytes; save it as ISO 8859-1 or ASCII"
            )
        return dict(javaproperties.loads(text))
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from None
    except (ValueError, javaproperties.InvalidUEscapeError) as error:
        raise SettingsError(f"{file} isn't a properties file: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in environment.items():
        if name.startswith(_ENVIRONMENT_PREFIX):
            # As in the container image: ___ means a dash, __ an underscore, _ a dot.
            key = name.removeprefix(_ENVIRONMENT_PREFIX).lower()
            key = key.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
            if not key.startswith(_NO_SETTINGS):
                found[key] = value
    return found


def _from_options(overrides: Iterable[str]) -> dict[str, str]:
    found = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key.strip():
            raise SettingsError(f"-p {shown(key, override)}; expected key=value")
        found[key.strip()] = value
    return found
