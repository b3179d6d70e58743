"""Transports of gRPC between workers."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from kafka_facade.peers.loopback import loopback

Metadata = tuple[tuple[str, str], ...]

_SECRET: Final = "kafka-facade-peer"
# No limit for calls; records are sent in pieces, and a stream has at most _WINDOW bytes in flight.
_WINDOW: Final = 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.lookahead_bytes", _WINDOW),
    # Otherwise gRPC enlarges the window as it sees fit.
    ("grpc.http2.bdp_probe", 0),
)
_CHANNEL_OPTIONS: Final = (
    *_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Ignore proxies in the environment.
    ("grpc.enable_http_proxy", 0),
)


class Transport(Protocol):
    """A transport to the other workers. All workers understand the same addresses."""

    @property
    def address(self) -> str:
        """The address of this worker; known after :meth:`listen`."""

    @property
    def metadata(self) -> Metadata:
        """Metadata that authenticates each call, because other processes may be able to connect."""

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen. Raises RuntimeError if that is impossible."""

    def target(self, address: str) -> str:
        """Return the gRPC target of an address."""

    def touch(self) -> None:
        """Touch files so that the system does not remove them."""

    def discard(self, address: str) -> None:
        """Remove the files of a worker that has ended."""

    def close(self) -> None:
        """Remove the files of this worker, after its server has stopped."""


def new_server(handler: grpc.GenericRpcHandler) -> grpc.aio.Server:
    """Return a server for the calls of other workers, which does not listen yet."""
    return grpc.aio.server(options=_OPTIONS, handlers=[handler])


def open_channel(transport: Transport, address: str) -> grpc.aio.Channel:
    """Return a channel to the worker at an address."""
    return grpc.aio.insecure_channel(transport.target(address), options=_CHANNEL_OPTIONS)


def admits(transport: Transport, metadata: Iterable[tuple[str, Any]] | None) -> bool:
    """Return whether a call with this metadata comes from a worker."""
    given = dict(metadata or ())
    return all(
        hmac.compare_digest(str(given.get(name, "")).encode(), value.encode()) for name, value in transport.metadata
    )


class UnixTransport:
    """Unix sockets in a directory that only the workers can use."""

    metadata: Metadata = ()

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def address(self) -> str:
        """The path of the socket."""
        return str(self._socket)

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen on the socket."""
        self._socket.unlink(missing_ok=True)
        server.add_insecure_port(self.target(self.address))

    def target(self, address: str) -> str:
        """Return the gRPC target of a path."""
        return f"unix:{address}"

    def touch(self) -> None:
        """Update the time of the socket."""
        if self._socket.exists():
            os.utime(self._socket)

    def discard(self, address: str) -> None:
        """Remove the socket of a worker that has ended."""
        Path(address).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the socket."""
        self._socket.unlink(missing_ok=True)


class TcpTransport:
    """TCP on a free port of a loopback address. The workers share ``secret``, because other processes can connect too.

    Raises ValueError for other addresses, because connections are not encrypted.
    """

    def __init__(self, host: str, secret: str) -> None:
        self._host = loopback(host)
        self._port = 0
        self.metadata: Metadata = ((_SECRET, secret),)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen on a free port."""
        self._port = server.add_insecure_port(self.address)

    def target(self, address: str) -> str:
        """Return the gRPC target of a host and port."""
        return address

    def touch(self) -> None:
        """Do nothing: there are no files."""

    def discard(self, address: str) -> None:
        """Do nothing: a port is free once its process has ended."""

    def close(self) -> None:
        """Do nothing."""
