"""Several workers, and the process that supervises them and holds their ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.supervisors import multiprocess

from kafka_facade.runtime.ending import end_within, exit_now
from kafka_facade.runtime.gateway import Gateway
from kafka_facade.runtime.server import PORTS_SECONDS, Server, close_ports, run

# A worker ends itself in time; one that can't is killed so much (s) later, and the supervisor as much after that.
_LATE_SECONDS = 0.5


class _Worker(multiprocess.Process):
    """A worker, as its supervisor has it; ``target`` runs in the worker."""

    def start(self) -> None:
        """Start it. The library waits for a sign of life of one that ends first, unless the pipe ends with it."""
        super().start()
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends the worker."""
        exit_now(run(self.config, cast(Gateway, self.config.app), sockets or [], self._answer_for))

    def _answer_for(self, server: Server) -> None:
        self._server = server
        # The supervisor asks for signs of life, also while the event loop is busy.
        threading.Thread(target=self.always_pong, name="signs of life", daemon=True).start()


class Supervisor(multiprocess.Multiprocess):
    """Starts workers, replaces those that die, and ends all of them within ``timeout`` (s) of a signal."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], timeout: float) -> None:
        # The library has no other way to say which kind of worker it starts.
        multiprocess.Process = _Worker  # type: ignore[misc]
        super().__init__(config, sockets)
        self._timeout = timeout
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    @property
    def status(self) -> int:
        """The exit status, once it has run: 1 if a worker failed."""
        # One that is told to end before it serves does so at once.
        return int(any(process.exitcode not in (None, 0, -signal.SIGTERM) for process in self.processes))

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Tell the workers at once: the supervisor's own loop may be waiting for one that hangs."""
        if self._told:
            return
        self._told = True
        self.should_exit.set()
        end_within(self._timeout + 2 * _LATE_SECONDS)
        for listener in self.sockets:
            with contextlib.suppress(OSError):
                if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    # What comes now is for workers that still accept, or is refused when it is tried again.
                    listener.listen(0)
        for process in self.processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)
        threading.Thread(target=self._end_late, args=(time.monotonic(),), name="end", daemon=True).start()

    def _end_late(self, told_at: float) -> None:
        time.sleep(PORTS_SECONDS)
        close_ports(self.sockets)
        time.sleep(max(0.0, told_at + self._timeout + _LATE_SECONDS - time.monotonic()))
        for process in self.processes:
            if process.exitcode is None:
                process.process.kill()
