"""Cleans up after a stack whose own process died without doing so; started by `process.Watchdog`.

Reads commands from standard input, one a line: `+ITEM` to guard, `-ITEM` to forget; an item is the id of a process
group, or an absolute path. At the end of input the stack's process is gone: groups are ended, paths removed.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    """Follows the commands until standard input ends, then cleans up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: dict[str, None] = {}
    for line in sys.stdin:
        item = line[1:].rstrip("\n")
        if line.startswith("+"):
            guarded[item] = None
        else:
            guarded.pop(item, None)
    for group in [int(item) for item in guarded if item.isdecimal()]:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for path in [Path(item) for item in guarded if not item.isdecimal()]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
