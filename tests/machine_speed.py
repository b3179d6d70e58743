"""How fast the machine is at present: limits of processor time are for a fast one with nothing else to do."""

from __future__ import annotations

import json
import statistics
import time

_NOMINAL_SECONDS = 0.0045
"""What the reference work takes on one idle core of a server of 2024."""
_ROUNDS = 9
_MOST = 2.0


def slowness() -> float:
    """How many times longer than nominal the reference work takes in this thread, from 1 to 2."""
    took = statistics.median(_timed() for _ in range(_ROUNDS))
    return min(_MOST, max(1.0, took / _NOMINAL_SECONDS))


def _timed() -> float:
    began = time.thread_time()
    text = json.dumps([{"n": number, "list": [number, str(number)], "text": "some text"} for number in range(3000)])
    assert sum(len(entry["list"]) for entry in json.loads(text)) == 6000
    return time.thread_time() - began
