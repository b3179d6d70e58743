"""The Kafka clients of identities, and leases on them.

A client is used for one identity only. Clients of an identity are opened at its first call, shared by its calls, and
closed some time after its last one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from kafka_facade.core.kafka_ports import KafkaPorts

# Keyed, so that an attacker cannot test guesses of a password against a digest.
_DIGEST_KEY: Final = os.urandom(32)


@dataclass(frozen=True, slots=True)
class KafkaIdentity:
    """The identity with which a call acts in a cluster, and the properties of its clients (names of the Java client).

    ``cluster`` is the name of a configured cluster, ``name`` the user for logs. ``digest`` covers all of them, and two
    identities with the same digest are one: the same user with another password is another identity.
    """

    cluster: str = field(compare=False)
    name: str = field(compare=False)
    producer: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    consumer: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    admin: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    digest: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        properties = (sorted(entry.items()) for entry in (self.producer, self.consumer, self.admin))
        text = repr([self.cluster, self.name, *properties]).encode(errors="surrogatepass")
        object.__setattr__(self, "digest", hashlib.blake2b(text, key=_DIGEST_KEY, digest_size=16).digest())


class Lease(Protocol):
    """The right to use the clients of an identity: they stay open until it is released."""

    @property
    def identity(self) -> KafkaIdentity:
        """Whose clients they are."""

    @property
    def ports(self) -> KafkaPorts:
        """What they can do."""

    def share(self) -> Lease:
        """Return another lease on the same clients."""

    def release(self) -> None:
        """End the lease; call it once."""


class ClientPool(Protocol):
    """The clients of all identities."""

    def take(self, identity: KafkaIdentity) -> Lease | None:
        """Lease clients that are open; None if they have to be opened."""

    async def lease(self, identity: KafkaIdentity, timeout: float) -> Lease:
        """Lease clients, opening them if necessary.

        Raises TooManyRequests if no more can be opened, KafkaTimeout, Unavailable during shutdown, and what opening
        them raises.
        """
