"""The peak memory of a process."""

from pathlib import Path

from kafka_facade_devstack.gateway import Gateway

MEBIBYTE = 1024 * 1024


class PeakMemory:
    """The growth of a gateway's memory since creation, including peaks that were released."""

    def __init__(self, gateway: Gateway) -> None:
        self._process = Path(f"/proc/{gateway.child.pid}")
        # Its peak is what it has now.
        (self._process / "clear_refs").write_text("5")
        self._before = self._peak()

    def growth(self) -> int:
        """The growth (bytes) up to now."""
        return self._peak() - self._before

    def now(self) -> int:
        """The peak (bytes) since creation; right after it, the memory in use."""
        return self._peak()

    def _peak(self) -> int:
        [line] = [line for line in (self._process / "status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
