"""Full garbage collections run while there are few objects, and not while there are many."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, gc, time
from kafka_facade.runtime.garbage import Garbage

async def main():
    full = []
    gc.callbacks.append(lambda phase, found: full.append(phase) if found["generation"] == 2 else None)
    garbage = Garbage(lambda: {idle})
    full.clear()
    watch = asyncio.create_task(garbage.watch())
    live = [[] for _ in range({live})]
    # A cycle that is no longer young.
    cycle = []
    cycle.append(cycle)
    gc.collect(1)
    gc.collect(1)
    del cycle
    kept = []
    for number in range({more}):
        kept.append([])
        if number % 100_000 == 0:
            await asyncio.sleep(0)
    for _ in range(10):
        junk = [[] for _ in range(200_000)]
        del junk
    await asyncio.sleep(1)
    watch.cancel()
    print(len(full) // 2)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("live", "more", "idle", "least", "most"),
    [(100, 0, False, 1, 10), (400_000, 0, False, 0, 0), (400_000, 0, True, 1, 10), (400_000, 6_000_000, False, 1, 10)],
)
def test_full_collections(live: int, more: int, idle: bool, least: int, most: int) -> None:
    script = SCRIPT.replace("{live}", str(live)).replace("{more}", str(more)).replace("{idle}", str(idle))
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert least <= int(found.stdout) <= most
