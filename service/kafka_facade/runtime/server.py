"""The HTTP server of one process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from kafka_facade.runtime.ending import Signals
from kafka_facade.runtime.worker import Worker

BACKLOG = 2048
# How long (s) the last accepted connections have to send a request before idle connections are closed.
_HAND_OVER_SECONDS = 0.1
# If the event loop has not closed the ports this long (s) after a signal, a thread closes them.
PORTS_SECONDS = 0.5


class Server(uvicorn.Server):
    """A server that accepts queued connections before it stops listening, and exits with status 0 after a signal."""

    on_ports_closed: Callable[[], None] | None = None
    """Called once this process does not listen any more."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the shutdown; a second SIGINT does not wait for requests."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept queued connections, close the ports, then finish running requests."""
        accepted = [connection for listener in sockets or () for connection in _queued(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        if self.on_ports_closed is not None:
            self.on_ports_closed()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._new_protocol, connection, ssl=self.config.ssl)
        await asyncio.sleep(_HAND_OVER_SECONDS)
        await super().shutdown(sockets)

    def _new_protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _queued(listener: socket.socket) -> list[socket.socket]:
    """Accept and return all queued connections."""
    accepted: list[socket.socket] = []
    listener.setblocking(False)
    with contextlib.suppress(OSError):
        while len(accepted) < BACKLOG:
            connection, _ = listener.accept()
            connection.setblocking(False)
            accepted.append(connection)
    return accepted


def run(
    config: uvicorn.Config,
    worker: Worker,
    sockets: list[socket.socket],
    made: Callable[[Server], None] | None = None,
) -> int:
    """Serve until a signal; return the exit status. ``made`` is called with the server before it runs."""
    signals = Signals(worker.settings.process.shutdown_seconds, supervised=config.workers > 1)
    server = Server(config)
    if made is not None:
        made(server)

    def end(number: int, deadline: float) -> None:
        if config.workers == 1:
            close_ports_soon(sockets)
        worker.end_by(deadline)
        server.handle_exit(number, None)

    signals.tell(end)
    try:
        server.run(sockets)
    except SystemExit as failed:
        return failed.code if isinstance(failed.code, int) else 1
    return 0 if server.started else 1


def close_ports(sockets: Sequence[socket.socket]) -> None:
    """Stop listening, in all processes that share these sockets. Queued connections are reset."""
    for listener in sockets:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def close_ports_soon(sockets: Sequence[socket.socket]) -> None:
    """Close the ports after a short time, in case the event loop is blocked and does not."""
    timer = threading.Timer(PORTS_SECONDS, close_ports, (sockets,))
    timer.daemon = True
    timer.start()
