"""Starts the limited child process (see ``limited_child``) in which work on schemas of others runs, and ends it."""

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
# What a Python that is not where it was built needs to start.
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
    """A process that does a job, a file beside this one; the end of the block ends it. See ``limited_child``."""
    limits = [str(cpu_seconds), str(output_bytes), os.pathsep.join(map(str, readable))]
    child = [sys.executable, "-I", "-S", str(_HERE / "limited_child.py")]
    with subprocess.Popen(
        [*child, str(_HERE / job), str(packages), *limits, *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=folder,
        env={"PATH": ""} | {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        # A group of its own, which ends as a whole.
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, with whatever it may have started."""
    if process.returncode is None:
        # Not reaped yet, so that its group is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
