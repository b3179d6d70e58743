"""`python stuck_gateway.py serve ...` with STUCK=how: a gateway that gets stuck, and says so on standard output."""

import asyncio
import ctypes
import os
import re
import threading
import time

from kafka_facade.cli import main
from kafka_facade.runtime.worker import Worker


def _in_python() -> None:
    while True:
        pass


def _in_a_native_call() -> None:
    ctypes.CDLL(None).pause()


def _with_the_interpreter_locked() -> None:
    ctypes.PyDLL(None).pause()


def _spinning_with_the_interpreter_locked() -> None:
    re.match("(a|a)*b", "a" * 60)


def _in_threads() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


def _say() -> None:
    os.write(1, b"stuck\n")


_start = Worker.start
_HOW = {
    "python": _in_python,
    "native": _in_a_native_call,
    "locked": _with_the_interpreter_locked,
    "spinning": _spinning_with_the_interpreter_locked,
    "threads": _in_threads,
}


async def _start_and_stick(self: Worker) -> None:
    how = os.environ["STUCK"]
    if how == "start":
        _say()
        await asyncio.Event().wait()
    await _start(self)
    loop = asyncio.get_running_loop()
    loop.call_later(0.5, _say)
    loop.call_later(0.6, _HOW[how])


Worker.start = _start_and_stick  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
