"""Kafka's classes, parsed once and mapped into memory at later starts: the JVM's class data sharing archive.

The first stack on a machine creates the archive from its running broker; later ones start in two thirds of the time. It
is optional: if the runtime has no `jcmd`, or the archive does not match, the JVM starts without it.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kafka_facade_devstack.process import Child, Watchdog

_BUILD_SECONDS = 120


class ClassArchive:
    """The archive for one Java runtime and one class path, in `folder`."""

    def __init__(self, folder: Path, java: Path, class_path: Sequence[Path]) -> None:
        self._java = java
        # The JVM rejects an archive of other files, so the name depends on the files.
        key = "\n".join(f"{path.resolve()} {path.stat().st_mtime_ns}" for path in [java, *class_path])
        self.path = folder / f"kafka-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsa"

    @property
    def options(self) -> list[str]:
        """JVM options that use the archive, if it exists."""
        return [f"-XX:SharedArchiveFile={self.path}", "-Xlog:cds=off"] if self.path.exists() else []

    async def build(self, pid: int, log: Path, watchdog: Watchdog) -> None:
        """Creates the archive from the running JVM `pid`, unless it exists. A failure has no effect."""
        jcmd = self._java.with_name("jcmd")
        if self.path.exists() or not jcmd.exists():
            return
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path.parent) as work:
                part = Path(work, self.path.name)
                command = [str(jcmd), str(pid), "VM.cds", "static_dump", str(part)]
                if await Child("the class archive", command, log, watchdog).run(_BUILD_SECONDS) == 0:
                    self._keep(part)

    def _keep(self, part: Path) -> None:
        if part.exists():
            part.replace(self.path)
