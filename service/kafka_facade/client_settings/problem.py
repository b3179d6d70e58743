"""The error for invalid client settings."""

from __future__ import annotations

from collections.abc import Sequence


class BadSettings(ValueError):
    """Invalid settings of a client, with their names and the reason. The message quotes no secrets."""

    def __init__(self, names: Sequence[str], reason: str) -> None:
        super().__init__(f"{', '.join(names)}: {reason}")
        self.names = tuple(names)
        self.reason = reason
