"""The supervisor process, which holds the ports and runs several workers."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.supervisors import multiprocess

from kafka_facade.runtime.app import Gateway
from kafka_facade.runtime.ending import end_within, exit_now
from kafka_facade.runtime.server import PORTS_SECONDS, Server, close_ports, run
from kafka_facade.runtime.worker import Worker

# A worker that misses its shutdown deadline is killed this long (s) later; the supervisor exits after as long again.
_LATE_SECONDS = 0.5


class _Worker(multiprocess.Process):
    """A worker process. ``target`` runs in the worker, everything else in the supervisor."""

    def __init__(self, listens: Connection, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._listens = listens
        super().__init__(config, sockets)

    def start(self) -> None:
        """Start the worker, and close the supervisor's copy of its pipe.

        With the copy open, the library would wait for a dead worker's ping.
        """
        super().start()
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends the worker."""
        exit_now(run(self.config, cast(Worker, cast(Gateway, self.config.app).worker), sockets or [], self._answer_for))

    def _answer_for(self, server: Server) -> None:
        self._server = server
        server.on_ports_closed = self._listens.close
        # Answer the supervisor's pings in a thread, so that a busy event loop does not look dead.
        threading.Thread(target=self.always_pong, name="signs of life", daemon=True).start()


class Supervisor(multiprocess.Multiprocess):
    """Starts workers, replaces those that die, and stops all of them within ``timeout`` (s) of a signal."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], timeout: float) -> None:
        # The library has no other way to set the class of its workers.
        self._until_closed, self._listens = Pipe(duplex=False)
        """Each worker has the writing end until it has closed the ports."""
        multiprocess.Process = functools.partial(_Worker, self._listens)  # type: ignore[misc,assignment]
        super().__init__(config, sockets)
        self._timeout = timeout
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    @property
    def status(self) -> int:
        """The exit status after :meth:`run`: 1 if a worker failed."""
        # A worker that gets SIGTERM before it serves exits immediately with the signal.
        return int(any(process.exitcode not in (None, 0, -signal.SIGTERM) for process in self.processes))

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Signal the workers immediately: the supervisor's main loop may be waiting for one that hangs."""
        if self._told:
            return
        self._told = True
        self.should_exit.set()
        end_within(self._timeout + 2 * _LATE_SECONDS)
        self._listens.close()
        for process in self.processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)
        threading.Thread(target=self._end_late, args=(time.monotonic(),), name="end", daemon=True).start()

    def _end_late(self, told_at: float) -> None:
        if wait([self._until_closed], PORTS_SECONDS):
            # No worker accepts connections any more.
            for listener in self.sockets:
                listener.close()
        else:
            close_ports(self.sockets)
        time.sleep(max(0.0, told_at + self._timeout + _LATE_SECONDS - time.monotonic()))
        for process in self.processes:
            if process.exitcode is None:
                process.process.kill()
