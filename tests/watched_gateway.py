"""`kafka-facade serve` with a watch on its event loop, for tests: `watched_gateway.py REPORT serve ...`.

At SIGUSR1 it writes what it has seen since the last time to the file REPORT, as JSON: what `LoopWatch` has
measured, and `collected`, how many objects the garbage collector finds in reference cycles.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

from kafka_facade.cli import main
from kafka_facade.runtime import serve
from kafka_facade.runtime.worker import Worker
from loop_watch import LoopWatch

REPORT = Path(sys.argv.pop(1))


class WatchedWorker(Worker):
    """The worker of the program."""

    async def start(self) -> None:
        await super().start()
        watch = LoopWatch()
        watch.start()

        def report() -> None:
            found = {
                "longest": watch.longest,
                "longest_busy": watch.longest_busy,
                "longest_held": watch.longest_held,
                "collected": gc.collect(),
            }
            unfinished = REPORT.with_suffix(".new")
            unfinished.write_text(json.dumps(found))
            unfinished.rename(REPORT)
            # What the collection took doesn't count.
            asyncio.get_running_loop().call_later(0.05, watch.reset)

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, report)


serve.__dict__["Worker"] = WatchedWorker
main()
