"""Heavy work in time slices."""

import asyncio
import random
import time

from kafka_facade.core.time_slices import SLICE_SECONDS, in_slices, sorted_in_slices


async def test_time_slices_keep_the_result_and_let_others_run() -> None:
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    def slow(item: int) -> int:
        busy_until = time.perf_counter() + SLICE_SECONDS / 4
        while time.perf_counter() < busy_until:
            pass
        return -item

    counting = asyncio.create_task(count())
    assert await in_slices(slow, range(100)) == [-item for item in range(100)]
    counting.cancel()
    # Eight items are one piece, and here each piece takes longer than a slice.
    assert passes >= 100 // 8


async def test_sorting_in_slices_is_sorting() -> None:
    for count in (0, 1, 1024, 1025, 5000):
        items = [(random.randrange(50), number) for number in range(count)]
        assert await sorted_in_slices(items, lambda item: item[0]) == sorted(items, key=lambda item: item[0])
