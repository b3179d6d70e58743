"""Child processes of the stack: each has its own process group, logs to a file, and never outlives the stack."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from kafka_facade_devstack.errors import DevStackError

_POLL_SECONDS = 0.05
_PAUSE_SECONDS = 2.0
_PAUSE_POLL_SECONDS = 0.001
_TAIL_BYTES = 64 * 1024
_OWN_ERROR = "kafka-facade: "
_CAUSES = {
    b"No space left on device": "no space left on the disk",
    b"Address already in use": "another program has taken its port",
    b"OutOfMemoryError": "out of memory",
}


class Watchdog:
    """A helper process that ends the registered process groups if this process dies, even by SIGKILL."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts the helper in a new session, so that signals of the terminal do not reach it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-S",
            str(Path(__file__).with_name("watchdog.py")),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    def guard(self, item: int | str) -> None:
        """Registers a process group to end, or an absolute path to remove, if this process dies."""
        self._tell(f"+{item}")

    def forget(self, item: int | str) -> None:
        """Unregisters an item of `guard`."""
        self._tell(f"-{item}")

    def _tell(self, command: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{command}\n".encode())

    async def stop(self) -> None:
        """Lets the helper clean up what is still registered, and waits for its end."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            await self._process.wait()
            self._process = None


class Running(Protocol):
    """A program that was started: the members of `asyncio.subprocess.Process` that are needed here."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    async def wait(self) -> int:
        """Returns the exit code once it has ended."""


Start = Callable[[Sequence[str], BinaryIO, Path | None, Mapping[str, str]], Awaitable[Running]]
"""Starts a command in a process group of its own. It writes to the file, and has the folder and the environment."""


async def start_program(
    command: Sequence[str], sink: BinaryIO, folder: Path | None, environment: Mapping[str, str]
) -> Running:
    """Starts a new process, as everywhere."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=sink,
        stderr=sink,
        start_new_session=True,
        cwd=folder,
        env=environment,
    )


class Child:
    """One running program of the stack. `name` is used in messages; `log` receives standard output and error.

    `folder` is its working folder, this process's own if None.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        watchdog: Watchdog,
        folder: Path | None = None,
        start: Start = start_program,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._watchdog = watchdog
        self._folder = folder
        self._start = start
        self._process: Running | None = None
        self._stopping = False
        self.died: asyncio.Future[DevStackError] = asyncio.get_running_loop().create_future()
        self._follower: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id, which is also its group's id."""
        if self._process is None:
            raise DevStackError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """The exit code once the process has ended, negative for a signal; None before."""
        return None if self._process is None else self._process.returncode

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Starts the program, adding `environment` to this process's own."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as sink:
            command = [str(part) for part in self._command]
            self._process = await self._start(command, sink, self._folder, {**os.environ, **(environment or {})})
        self._watchdog.guard(self._process.pid)
        self._follower = asyncio.create_task(self._follow(self._process), name=f"follow {self.name}")

    async def until(self, ready: Callable[[], Awaitable[bool]], deadline_seconds: float) -> None:
        """Waits until `ready()` is true. Raises DevStackError if the program ends first or the deadline passes."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while not await ready():
                    if self.died.done():
                        raise self.died.result()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise DevStackError(
                f"{self.name} did not respond within {deadline_seconds:.0f} s: its log is {self.log}"
            ) from None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP to the whole group. Returns when all threads of the child have stopped, which takes a moment."""
        self.send(signal.SIGSTOP)
        until = time.monotonic() + _PAUSE_SECONDS
        while time.monotonic() < until and not self._has_stopped():
            time.sleep(_PAUSE_POLL_SECONDS)

    def _has_stopped(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            # It has ended, or is the child of another process.
            threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
            return all(thread.read_text().rpartition(")")[2].split()[0] in "TZX" for thread in threads)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL once `grace_seconds` have passed; at once if zero. Returns when it has ended."""
        self._stopping = True
        if self._process is None or self._follower is None:
            return
        if self.running and grace_seconds > 0:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._follower), grace_seconds)
        if self.running:
            self.send(signal.SIGKILL)
        await self._follower

    async def run(self, deadline_seconds: float) -> int | None:
        """Starts a program that ends by itself and returns its exit code, None if the deadline passed first."""
        self._stopping = True
        await self.start()
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), deadline_seconds)
        except TimeoutError:
            return None
        finally:
            await self.stop(0)

    async def _follow(self, process: Running) -> None:
        code = await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._watchdog.forget(process.pid)
        if not self._stopping and not self.died.done():
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.died.set_result(
                DevStackError(f"{self.name} ended unexpectedly ({how}{_cause(self.log)}): its log is {self.log}")
            )


def _cause(log: Path) -> str:
    with suppress(OSError), log.open("rb") as source:
        source.seek(max(0, source.seek(0, os.SEEK_END) - _TAIL_BYTES))
        tail = source.read()
        for mark, text in _CAUSES.items():
            if mark in tail:
                return f", {text}"
        last = tail.decode(errors="replace").strip().rpartition("\n")[2]
        if last.startswith(_OWN_ERROR):
            return f", {last.removeprefix(_OWN_ERROR)}"
    return ""
