"""`kafka-facade serve` with a watch on its event loop, for tests: `watched_gateway.py REPORT serve ...`.

At SIGUSR1 it writes what it has seen since the last time to the file REPORT, as JSON: what `LoopWatch` has
measured, `slowness`, how slow the machine is at present, and `collected`, how many objects the garbage collector finds
in reference cycles. Of several workers each writes a file of its own, with its pid as suffix.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

from kafka_facade.cli import main
from kafka_facade.runtime import serve
from kafka_facade.runtime.worker import Worker
from loop_watch import LoopWatch
from machine_speed import slowness

# Workers are started with the environment, not with the arguments.
_REPORT = "WATCHED_GATEWAY_REPORT"
if __name__ == "__main__":
    os.environ[_REPORT] = sys.argv.pop(1)
REPORT = Path(os.environ[_REPORT])


class WatchedWorker(Worker):
    """The worker of the program."""

    async def start(self) -> None:
        await super().start()
        watch = LoopWatch()
        watch.start()
        path = REPORT if self.settings.peers.workers == 1 else REPORT.with_suffix(f".{os.getpid()}")

        def report() -> None:
            found = {
                "longest": watch.longest,
                "longest_busy": watch.longest_busy,
                "longest_held": watch.longest_held,
                "collected": gc.collect(),
                "slowness": slowness(),
            }
            unfinished = path.with_suffix(f"{path.suffix}.new")
            unfinished.write_text(json.dumps(found))
            unfinished.rename(path)
            # What this took does not count.
            asyncio.get_running_loop().call_later(0.05, watch.reset)

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, report)


if __name__ == "__main__":
    serve.__dict__["Worker"] = WatchedWorker
    main()
