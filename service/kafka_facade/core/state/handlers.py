"""What families do with the state: changes that only the leader makes, and work that it does in the background."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from kafka_facade.core.state.records import StateRecord, Writes
from kafka_facade.core.state.view import StateView


class Leader(Protocol):
    """The state as the leader sees it, for the duration of one change."""

    @property
    def view(self) -> StateView:
        """The state; it has all that was written."""

    async def write(self, records: Writes) -> None:
        """Write records in one transaction, and wait until the view has them.

        Raises WriterLost if another worker leads, or the outcome is not known; let it propagate.
        """

    def hurry(self, seconds: float) -> None:
        """Let the background work run again after this time, if that is sooner than usual."""

    async def refresh(self) -> None:
        """Wait until the view has all that is written now; a leader that was paused learns what others have done."""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a change: the answer to the caller, and the last records, which are written together with it."""

    answer: Struct
    records: Writes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A change to make: its id, which stays the same if another leader makes it again, its body, and seconds left."""

    identifier: str
    body: bytes
    timeout: float


Change = Callable[[Leader, ChangeRequest], Awaitable[Done]]
"""Makes a change. It may be interrupted at any point, and then made again by the next leader from the start, with the
records that were written. Raises the errors of the core for the caller."""

Background = Callable[[Leader], Awaitable[None]]
"""Background work of the leader, such as changes that could not be made yet. It must be short."""


@dataclass(slots=True)
class Handlers:
    """The changes by their kinds, the background work, and the types of records of all families."""

    changes: dict[str, Change] = field(default_factory=dict)
    background: list[Background] = field(default_factory=list)
    records: list[type[StateRecord]] = field(default_factory=list)
    needs_topic: bool = False
    """Whether the topic is created at the start, and not at the first change."""
