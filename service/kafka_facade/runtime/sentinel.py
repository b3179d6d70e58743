"""A process that ends a gateway whose Python code no longer runs: native code may block with the interpreter lock.

The gateway takes SIGTERM and SIGINT out of the kernel's queue when its Python code sees them. If one stays there for
longer than the gateway may take to end, no Python code runs.

Runs as a script, with the gateway's process id and that time (s) as arguments. It ends with the gateway, because that
closes its standard input. It writes to its standard output at each look, so that the gateway notices if it is stopped.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.5
# How long (s) the gateway has to print the stacks of its threads.
_LAST_SECONDS = 5.0
# How long (ms) the process may be silent, and how long once more, because all processes may have been paused.
_SILENT_MS = (5000, 1000)


def start(seconds: float) -> subprocess.Popen[bytes]:
    """Start the process for the caller's, which must have both signals blocked, and keep it. Raises OSError."""
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended, and end one that is stopped."""
    assert process.stdout is not None
    beats = select.poll()
    beats.register(process.stdout, select.POLLIN)
    with process:
        while any(beats.poll(limit) for limit in _SILENT_MS):
            if not process.stdout.read(4096):
                break
        process.kill()


def _is_pending(pid: int) -> bool:
    """Return whether one of the signals waits in the queue of the process, while it is not stopped."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("State:") and line.split()[1] in "Tt":
                return False
            if line.startswith("ShdPnd:"):
                pending = int(line.split()[1], 16)
                return any(pending >> number - 1 & 1 for number in _SIGNALS)
    return False


def _ends(seconds: float) -> bool:
    """Wait, and return whether the gateway has ended."""
    return bool(select.select([0], [], [], seconds)[0])


def _beat() -> None:
    try:
        os.write(1, b".")
    except BlockingIOError:
        # The gateway does not read.
        return


def _main(pid: int, seconds: float) -> None:
    os.set_blocking(1, False)
    since: float | None = None
    while not _ends(_LOOK_SECONDS):
        _beat()
        if not _is_pending(pid):
            since = None
        elif since is None:
            since = time.monotonic()
        elif time.monotonic() - since > seconds:
            break
    else:
        return
    # Its handler prints the stacks of all threads and exits, without Python code.
    os.kill(pid, signal.SIGPROF)
    if not _ends(_LAST_SECONDS):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    try:
        _main(int(sys.argv[1]), float(sys.argv[2]))
    except OSError:
        # The gateway has ended meanwhile.
        sys.exit(0)
