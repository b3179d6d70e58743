"""What is wrong with a client's settings."""

from __future__ import annotations

from collections.abc import Sequence


class BadSettings(ValueError):
    """Settings that a client can't be started with: their names, and why. The text quotes no secret."""

    def __init__(self, names: Sequence[str], reason: str) -> None:
        super().__init__(f"{', '.join(names)}: {reason}")
        self.names = tuple(names)
        self.reason = reason
