"""Limited child processes for JSON Schema checks that may take long.

A check in this process cannot be interrupted and blocks all other threads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

import jsonschema_rs

from kafka_facade.core.worker_threads import others_wait
from kafka_facade.schemas.json_schema_job import ANSWER, CROWDED_SECONDS, NO_SCHEMA, REQUEST, SECONDS, VALID
from kafka_facade.schemas.limited_process import limited_process

_PACKAGES: Final = Path(jsonschema_rs.__file__).parent.parent
_ROOT: Final = Path(os.sep)
# Schemas that a process keeps, and the number of idle processes to keep.
_SLOTS: Final = 16
_IDLE: Final = 2
# A process that does not respond for this long (s) hangs: its CPU limit is far lower.
_SECONDS: Final = 60.0


_END_SECONDS: Final = 5.0


class CheckEnded(Exception):
    """The process ended without an answer because the check exceeded its time or memory."""


class Crowded(Exception):
    """The check takes long while others wait."""


class _Died(Exception):
    """The process ended for another reason than its CPU limit."""


class NotASchema(Exception):
    """The schema is invalid."""


class Checkers:
    """Processes that check values, started on demand. Concurrent threads use one process each."""

    def __init__(self) -> None:
        self._idle: list[_Checker] = []
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """End all processes; busy ones end after their check."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for checker in idle:
            checker.close()

    def check(self, key: bytes, schema: bytes, value: bytes = b"") -> None:
        """Check a JSON text against a schema, or the schema itself if there is no value.

        ``schema`` is a JSON array of the schema and an object of the referenced schemas by name; ``key`` identifies it.
        Raises NotASchema, ValueError for an invalid value, CheckEnded, Crowded, and OSError if no process can be
        started. Blocks.
        """
        crowded = others_wait()
        try:
            self._check(key, schema, value, CROWDED_SECONDS if crowded else SECONDS)
        except CheckEnded:
            if crowded:
                raise Crowded from None
            raise

    def _check(self, key: bytes, schema: bytes, value: bytes, seconds: float) -> None:
        with self._lock:
            used = self._idle.pop() if self._idle else None
        if used is not None:
            # A used process may have died from the memory of earlier checks; retry in a new one.
            with contextlib.suppress(_Died):
                return self._on(used, key, schema, value, seconds)
        try:
            return self._on(_Checker(), key, schema, value, seconds)
        except _Died as error:
            raise CheckEnded from error

    def _on(self, checker: _Checker, key: bytes, schema: bytes, value: bytes, seconds: float) -> None:
        try:
            outcome, message = checker.ask(key, schema, value, seconds)
        except BaseException:
            checker.close()
            raise
        with self._lock:
            keep = not self._closed and len(self._idle) < _IDLE
            if keep:
                self._idle.append(checker)
        if not keep:
            checker.close()
        if outcome == NO_SCHEMA:
            raise NotASchema(message)
        if outcome != VALID:
            raise ValueError(message)


class _Checker:
    """One child process."""

    def __init__(self) -> None:
        self._slots: OrderedDict[bytes, int] = OrderedDict()
        with contextlib.ExitStack() as opened:
            self._peer, theirs = socket.socketpair()
            opened.enter_context(self._peer)
            with theirs:
                self._process = opened.enter_context(
                    limited_process(
                        "json_schema_job.py",
                        packages=_PACKAGES,
                        cpu_seconds=0,
                        output_bytes=0,
                        folder=_ROOT,
                        stdin=theirs.fileno(),
                    )
                )
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def ask(self, key: bytes, schema: bytes, value: bytes, seconds: float) -> tuple[int, str]:
        """Return the outcome and its message. Raises CheckEnded and _Died."""
        slot, is_new = self._slot(key)
        sent = schema if is_new else b""
        until = time.monotonic() + _SECONDS
        try:
            for content in (REQUEST.pack(slot, len(sent), len(value), seconds), sent, value):
                self._peer.settimeout(max(0.001, until - time.monotonic()))
                self._peer.sendall(content)
            outcome, size = ANSWER.unpack(self._receive(ANSWER.size, until))
            message = self._receive(size, until).decode()
        except (OSError, struct.error) as error:
            raise (CheckEnded if self._took_too_long() else _Died) from error
        if outcome == NO_SCHEMA:
            del self._slots[key]
        return outcome, message

    def _took_too_long(self) -> bool:
        try:
            return self._process.wait(_END_SECONDS) == -signal.SIGPROF
        except subprocess.TimeoutExpired:
            return True

    def _slot(self, key: bytes) -> tuple[int, bool]:
        """Return the slot of the schema with the key, and whether the slot is new."""
        if key in self._slots:
            self._slots.move_to_end(key)
            return self._slots[key], False
        if len(self._slots) < _SLOTS:
            taken = set(self._slots.values())
            slot = next(slot for slot in range(_SLOTS) if slot not in taken)
        else:
            _, slot = self._slots.popitem(last=False)
        self._slots[key] = slot
        return slot, True

    def _receive(self, size: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._peer.settimeout(max(0.001, until - time.monotonic()))
            piece = self._peer.recv(size - len(found))
            if not piece:
                raise ConnectionResetError
            found += piece
        return bytes(found)
