"""Sharding of consumer instances over workers.

The group and name of an instance determine its slot (a shard), and each slot is owned by one worker at a time. A call
may arrive at any worker; it runs in the one that owns the slot. Only the peers know which worker that is, so slots
could also be owned by other nodes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from kafka_facade.core.call import Call
from kafka_facade.core.instances.model import OfInstance
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.registry import without_kafka


class HasPeers(Protocol):
    """An object with placed operations. Without ``peers`` all instances live in this worker."""

    peers: PeerPort | None


_Self = TypeVar("_Self", bound=HasPeers)
_Request = TypeVar("_Request", bound=OfInstance)
_Response = TypeVar("_Response")
_Method = Callable[[_Self, Call, _Request], Awaitable[_Response]]


def slot_of(group: str, instance: str, slots: int) -> int:
    """The slot of an instance, equal in all processes."""
    name = f"{len(group)} {group} {instance}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") % slots


def is_here(peers: PeerPort | None, group: str, instance: str) -> bool:
    """Return whether the instance, which need not exist, belongs to this worker."""
    return peers is None or peers.holds(group, instance)


def placed(method: _Method[_Self, _Request, _Response]) -> _Method[_Self, _Request, _Response]:
    """Decorate an operation so that it runs in the worker that owns the instance's slot, with its Kafka clients."""

    @functools.wraps(method)
    async def run(self: _Self, call: Call, request: _Request) -> _Response:
        peers = self.peers
        here = is_here(peers, request.group, request.instance)
        if here and not call.has_kafka(None):
            await call.open_kafka(None)
            # The slot may have moved meanwhile. After this check the operation starts without an await.
            here = is_here(peers, request.group, request.instance)
        if peers is None or here:
            return await method(self, call, request)
        answer: _Response = await peers.forward(call, request)
        return answer

    return without_kafka(run)
