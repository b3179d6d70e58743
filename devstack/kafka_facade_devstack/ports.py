"""The ports of a stack: assigns one to each listener, and checks that all are free. Loopback only."""

import atexit
import errno
import fcntl
import os
import random
import socket
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from kafka_facade_devstack.errors import DevStackError

HOST = "127.0.0.1"
_SPAN = 43
_LOWEST = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# After this many plans, the ports of the first are bound and detected as taken.
_CLAIMS = 16


@dataclass(frozen=True, slots=True)
class PortPlan:
    """First port of each kind; a kind that each broker has takes one port a broker, counting up."""

    rest: int = 8082
    grpc: int = 50051
    registry: int = 8081
    kafka: int = 9092
    internal: int = 19092
    controller: int = 29092
    secure: int = 39092

    @classmethod
    def from_base(cls, base: int) -> Self:
        """`base` for REST, then +1 gRPC, +2 registry, +10.. Kafka, +20.. controllers, +30.. brokers, +40.. with TLS."""
        if not 1024 <= base <= 65_535 - _SPAN:
            raise DevStackError(f"--port-base {base}: expected a number from 1024 to {65_535 - _SPAN}")
        brokers = {"kafka": base + 10, "controller": base + 20, "internal": base + 30, "secure": base + 40}
        return cls(rest=base, grpc=base + 1, registry=base + 2, **brokers)

    @classmethod
    def free(cls) -> Self:
        """A plan whose ports are free now, below the range from which the system draws outgoing ports.

        Neither this process nor another one of the user gets the same plan until its ports have been bound.
        """
        first_ephemeral = _first_ephemeral()
        bases = range(_LOWEST, first_ephemeral - _SPAN, _SPAN)
        # SystemRandom: with the generator that tests seed, processes would try the same plans in the same order.
        for base in random.SystemRandom().sample(bases, len(bases)):
            if _claims.take(base):
                if all(is_free(port) for port in range(base, base + _SPAN)):
                    return cls.from_base(base)
                _claims.give_back(base)
        raise DevStackError(f"no {_SPAN} free ports in a row from {_LOWEST} to {first_ephemeral}")

    def of_kafka(self, brokers: int) -> dict[int, str]:
        """Port -> what listens there, for that many brokers."""
        kinds = {self.kafka: "Kafka", self.internal: "Kafka between brokers", self.controller: "Kafka's controller"}
        return {first + index: name for first, name in kinds.items() for index in range(brokers)}


class _Claims:
    """The plans that this process has handed out last: locked bytes of a file that the user's processes share."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._recent: deque[int] = deque()
        self._lock = threading.Lock()

    def take(self, base: int) -> bool:
        """Claim a plan. Return False if it is already claimed. The oldest claim expires when there are too many."""
        with self._lock:
            if self._file is None:
                path = Path(tempfile.gettempdir(), f"kafka-facade-{os.getuid()}.ports")
                # Another user could have put a link there.
                self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb")
                atexit.register(self._file.close)
            if base in self._recent:
                return False
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, base)
            except OSError:
                return False
            self._recent.append(base)
            if len(self._recent) > _CLAIMS:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._recent.popleft())
            return True

    def give_back(self, base: int) -> None:
        """End a claim of a plan that turned out to be in use, so that it does not make the oldest one expire."""
        with self._lock:
            if self._file is not None and base in self._recent:
                self._recent.remove(base)
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, base)


_claims = _Claims()


def is_free(port: int) -> bool:
    """Whether a listener could bind the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def check_free(ports: dict[int, str]) -> None:
    """Raises DevStackError that names every taken port and what wanted it."""
    taken = [f"{port} ({name})" for port, name in sorted(ports.items()) if not is_free(port)]
    if taken:
        noun, verb = ("port", "is") if len(taken) == 1 else ("ports", "are")
        raise DevStackError(
            f"{noun} {', '.join(taken)} on {HOST} {verb} taken: stop the program that listens there, "
            "or move the whole stack with --port-base N"
        )


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except OSError:
        return 32_768
