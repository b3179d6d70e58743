"""The supervisor process, which holds the ports and runs several workers."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
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

    def __init__(self, reports: Connection, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._reports = reports
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
        server.on_ports_closed = self._report_closed_ports
        # Answer the supervisor's pings in a thread, so that a busy event loop does not look dead.
        threading.Thread(target=self.always_pong, name="signs of life", daemon=True).start()

    def _report_closed_ports(self) -> None:
        # The supervisor may have been killed.
        with contextlib.suppress(OSError):
            self._reports.send_bytes(b"closed")


class Supervisor(multiprocess.Multiprocess):
    """Starts workers, replaces those that die, and stops all of them within ``timeout`` (s) of a signal."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], timeout: float) -> None:
        # The library has no other way to set the class of its workers.
        self._closed_ports, reports = Pipe(duplex=False)
        """Each worker sends a message once it has closed the ports."""
        multiprocess.Process = functools.partial(_Worker, reports)  # type: ignore[misc,assignment]
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
        for listener in self.sockets:
            with contextlib.suppress(OSError):
                if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    # New connections go to workers that still accept, or fail on retry.
                    listener.listen(0)
        told = [process.pid for process in self.processes if process.exitcode is None and process.pid is not None]
        for pid in told:
            os.kill(pid, signal.SIGTERM)
        threading.Thread(target=self._end_late, args=(time.monotonic(), len(told)), name="end", daemon=True).start()

    def _end_late(self, told_at: float, workers: int) -> None:
        while workers and self._closed_ports.poll(max(0.0, told_at + PORTS_SECONDS - time.monotonic())):
            self._closed_ports.recv_bytes()
            workers -= 1
        if workers:
            close_ports(self.sockets)
        else:
            # No worker accepts connections any more.
            for listener in self.sockets:
                listener.close()
        time.sleep(max(0.0, told_at + self._timeout + _LATE_SECONDS - time.monotonic()))
        for process in self.processes:
            if process.exitcode is None:
                process.process.kill()
