"""A worker in a process of its own, which a test can stop: `other_worker.py SOCKET ADDRESS`.

It owns all slots, and reads of its instances last until the test ends. If ADDRESS is not empty, it forwards a read
there, and its caller never takes the answer. It says `ready` once the call is on its way, and `reading` when it runs a
read. At SIGUSR1 its event loop hangs, while the other threads of the process run on.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

from kafka_facade.core.call import Call
from kafka_facade.core.instances.model import FetchRecords
from kafka_facade.core.instances.placement import slot_of
from kafka_facade.peers.ownership import SLOTS
from kafka_facade.peers.transport import UnixTransport
from peers.bare_workers import Worker, read


def _say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


async def _long_read(call: Call, _: Any) -> None:
    _say("reading")
    await asyncio.sleep(call.remaining)


async def _never_taken(_: Any) -> None:
    _say("ready")
    await asyncio.Event().wait()


async def main(socket: Path, address: str) -> None:
    worker = Worker(UnixTransport(socket))
    vars(worker.core)["perform_forwarded"] = _long_read
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, time.sleep, 600)
    await worker.peers.start(worker.core)
    if address:
        worker.table.addresses[slot_of("g", "i", SLOTS)] = address
        await worker.peers.forward(read(_never_taken), FetchRecords("g", "i"))
    worker.table.owned = set(range(SLOTS))
    _say("ready")
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
