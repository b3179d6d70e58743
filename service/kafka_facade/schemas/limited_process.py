"""Starts and ends the sandboxed child process for untrusted schemas (see ``limited_child``)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
# A relocated Python needs these to start.
_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@contextlib.contextmanager
def limited_process(
    job: str,
    arguments: Sequence[str] = (),
    *,
    packages: Path,
    cpu_seconds: int,
    output_bytes: int,
    folder: Path,
    readable: Sequence[Path] = (),
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a job, a file of this package, in a child process that ends with the block. See ``limited_child``."""
    limits = [str(cpu_seconds), str(output_bytes), os.pathsep.join(map(str, readable))]
    child = [sys.executable, "-I", "-S", str(_HERE / "limited_child.py")]
    with subprocess.Popen(
        [*child, str(_HERE / job), str(packages), *limits, *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=folder,
        env={"PATH": ""} | {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        # A separate process group, so that all of it can be killed.
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and everything that it may have started."""
    if process.returncode is None:
        # The process is not reaped yet, so its group id cannot have been reused.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
