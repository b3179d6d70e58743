"""Transports of gRPC between workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

import grpc

from kafka_facade.peers.certificate import NAME, Certificate
from kafka_facade.peers.loopback import loopback

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

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen, to other workers only. Raises RuntimeError if that is impossible."""

    def open_channel(self, address: str) -> grpc.aio.Channel:
        """Return a channel to the worker at an address, which connects to no other program."""

    def touch(self) -> None:
        """Touch files so that the system does not remove them."""

    def discard(self, address: str) -> None:
        """Remove the files of a worker that has ended."""

    def close(self) -> None:
        """Remove the files of this worker, after its server has stopped."""


def new_server(handler: grpc.GenericRpcHandler) -> grpc.aio.Server:
    """Return a server for the calls of other workers, which does not listen yet."""
    return grpc.aio.server(options=_OPTIONS, handlers=[handler])


class UnixTransport:
    """Unix sockets in a directory that only the workers can use."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def address(self) -> str:
        """The path of the socket."""
        return str(self._socket)

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen on the socket."""
        self._socket.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self.address}")

    def open_channel(self, address: str) -> grpc.aio.Channel:
        """Return a channel to the worker at a path."""
        return grpc.aio.insecure_channel(f"unix:{address}", options=_CHANNEL_OPTIONS)

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
    """TCP on a free port of a loopback address, with mutual TLS.

    Other processes can connect to the port, and take the port of a worker that has ended. So both sides have to prove
    that they have the key of ``certificate``, which never leaves the workers. Raises ValueError for other addresses.
    """

    def __init__(self, host: str, certificate: Certificate) -> None:
        self._host = loopback(host)
        self._port = 0
        self._certificate = certificate

    @property
    def address(self) -> str:
        """Host and port."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def listen(self, server: grpc.aio.Server) -> None:
        """Make the server listen on a free port."""
        own, key = self._certificate.certificate, self._certificate.key
        self._port = server.add_secure_port(
            self.address, grpc.ssl_server_credentials([(key, own)], root_certificates=own, require_client_auth=True)
        )

    def open_channel(self, address: str) -> grpc.aio.Channel:
        """Return a channel to the worker at a host and port."""
        own = self._certificate.certificate
        credentials = grpc.ssl_channel_credentials(own, self._certificate.key, own)
        options = (*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", NAME))
        return grpc.aio.secure_channel(address, credentials, options=options)

    def touch(self) -> None:
        """Do nothing: there are no files."""

    def discard(self, address: str) -> None:
        """Do nothing: a port is free once its process has ended."""

    def close(self) -> None:
        """Do nothing."""
