"""The declaration of a setting as a field of a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_METADATA = "setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its ``key``, its ``default`` as in a properties file, and how to ``parse`` a value.

    ``parse`` raises ValueError with what it expects.
    """

    key: str
    default: str
    parse: Callable[[str], Any]

    def field(self) -> Any:
        """Return a field with the parsed value. Several sections may have one for the same setting."""
        return dataclasses.field(default_factory=lambda: self.parse(self.default), metadata={_METADATA: self})


def setting(key: str, default: str, parse: Callable[[str], Any]) -> Any:
    """Return the field of a setting that only one section has."""
    return Setting(key, default, parse).field()


def settings_of(section: type[Any]) -> Iterator[tuple[str, Setting]]:
    """Yield the field's name and the setting, for each setting of a section."""
    for field in dataclasses.fields(section):
        if _METADATA in field.metadata:
            yield field.name, field.metadata[_METADATA]
