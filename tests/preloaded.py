"""Start gateways as copies of a process that has imported all modules already: imports take most of a start.

Run as a program, this is that process. It reads requests from a socket, a JSON object in a line, and writes the pid of
each copy, and later how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

_MODULE = "kafka_facade"
_SECONDS = 60


class Copy:
    """A running copy, with the members of ``asyncio.subprocess.Process`` that the stack uses."""

    def __init__(self, pid: int, ended: Future[int]) -> None:
        self.pid = pid
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Return the exit code once it has ended."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))


class Original:
    """Has the other process, and starts copies of it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        self._starting: Future[Copy] = Future()
        self._lock = threading.Lock()
        self._ended: dict[int, Future[int]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def start(self, command: Sequence[str], log: BinaryIO, folder: Path | None, env: Mapping[str, str]) -> Copy:
        """Start ``python -m kafka_facade`` as a copy; ``command`` is the whole one. Its output goes to the log."""
        [_, _, module, *arguments] = command
        assert module == _MODULE
        asked = {"arguments": arguments, "log": log.name, "folder": str(folder or Path.cwd()), "env": dict(env)}
        return await asyncio.to_thread(self._start, asked)

    def _start(self, asked: Mapping[str, Any]) -> Copy:
        with self._lock:
            self._starting = Future()
            self._socket.sendall(json.dumps(asked).encode() + b"\n")
            return self._starting.result(_SECONDS)

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                told = json.loads(line)
                if "code" in told:
                    self._ended.pop(told["pid"]).set_result(told["code"])
                else:
                    self._ended[told["pid"]] = Future()
                    self._starting.set_result(Copy(told["pid"], self._ended[told["pid"]]))

    def close(self) -> None:
        """End the other process."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._reader.join()
        self._socket.close()


def _serve(connection: socket.socket) -> list[str]:
    """Start copies until the connection ends; return only in a copy, with its arguments."""
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as selector, connection, connection.makefile("rb") as lines:
        selector.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in running:
                    selector.unregister(key.fd)
                    pid = running.pop(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    _tell(connection, pid=pid, code=os.waitstatus_to_exitcode(status))
                    continue
                line = lines.readline()
                if not line:
                    os._exit(0)
                asked = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    for fd in running:
                        os.close(fd)
                    return _begin(asked)
                _tell(connection, pid=pid)
                fd = os.pidfd_open(pid)
                running[fd] = pid
                selector.register(fd, selectors.EVENT_READ)


def _tell(connection: socket.socket, **members: int) -> None:
    connection.sendall(json.dumps(members).encode() + b"\n")


def _begin(asked: Mapping[str, Any]) -> list[str]:
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, standard)
    os.close(log)
    os.close(nothing)
    arguments: list[str] = asked["arguments"]
    return arguments


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("kafka_facade.runtime.server", "kafka_facade.runtime.supervisor", "kafka_facade.cli"):
        __import__(name)
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The folder of the tests is no place for modules of a gateway.
    sys.path[0] = ""
    runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
