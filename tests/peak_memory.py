"""The most memory that a process has had."""

from pathlib import Path

from kafka_facade_devstack.gateway import Gateway

MEBIBYTE = 1024 * 1024


class PeakMemory:
    """How far the memory of a gateway has grown since this was made; a peak counts even where it was given back."""

    def __init__(self, gateway: Gateway) -> None:
        self._process = Path(f"/proc/{gateway.child.pid}")
        # Its peak is what it has now.
        (self._process / "clear_refs").write_text("5")
        self._before = self._peak()

    def growth(self) -> int:
        """The growth (bytes) up to now."""
        return self._peak() - self._before

    def _peak(self) -> int:
        [line] = [line for line in (self._process / "status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
