"""What the leader does about exclusions: it writes down what is wanted, and makes the brokers do it.

A broker that is down, or does not answer, is excluded once it is back: the leader tries again in the background. It
also excludes brokers again that another tool has uncordoned.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from kafka_facade.core.audit import audit
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, NotFound
from kafka_facade.core.exclusions.cordoning import cordon
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.exclusions.port import ExclusionKafka
from kafka_facade.core.state.handlers import ChangeRequest, Done, Handlers, Leader
from kafka_facade.core.state.records import StateRecord, is_broker_id, key_of
from kafka_facade.core.state.view import StateView

logger = logging.getLogger("kafka_facade.core")

ALTER: Final = "exclusions.alter"
"""The kind of the change."""

_SHARE: Final = 0.5
_BACKGROUND_SECONDS: Final = 5.0
# Interval (s) between looks whether brokers are still as they are wanted.
_LOOK_SECONDS: Final = 60.0


class ExclusionRecord(StateRecord, frozen=True):
    """What is wanted of a broker: to exclude it, or not any more.

    ``is_applied`` is whether the broker has done so; without an exclusion there is no record then. ``request`` is the
    id of the request that wanted it, and ``caller`` who sent it; older gateways did not write the caller.
    """

    prefix: ClassVar[str] = "exclusion"
    change: ExclusionChange
    reason: str
    is_applied: bool = False
    request: str = ""
    caller: str | None = None

    def check(self, identifier: str) -> None:
        """Raise msgspec.ValidationError if the key is not that of a broker."""
        if not is_broker_id(identifier):
            raise msgspec.ValidationError("Impossible broker id")


class AlterEntry(Struct):
    """A broker, and the reason."""

    broker_id: int
    reason: str


class AlterExclusions(Struct):
    """Exclusions to make or remove."""

    change: ExclusionChange
    entries: list[AlterEntry]
    caller: str | None = None


class AlterFailure(Struct):
    """Why one was not made or removed; ``code`` is that of v3."""

    broker_id: int
    code: int
    message: str


class AlteredExclusions(Struct):
    """Those that were not."""

    failures: list[AlterFailure]


def failure_of(broker_id: int, error: FacadeError) -> AlterFailure:
    """Return an error as the result of one entry."""
    return AlterFailure(broker_id, error.codes.v3, error.message)


def wanted(view: StateView) -> dict[int, ExclusionRecord]:
    """Return what is wanted of brokers, by their ids."""
    return {int(name): record for name, record in view.all(ExclusionRecord).items()}


class ExclusionKeeper:
    """Makes changes of exclusions on the leader. ``kafka`` are the gateway's own clients."""

    def __init__(self, kafka: ExclusionKafka) -> None:
        self._kafka = kafka
        self._looked_at = float("-inf")
        self._warned: dict[int, str] = {}

    def register(self, handlers: Handlers) -> None:
        """Serve the change, and work in the background."""
        handlers.records.append(ExclusionRecord)
        handlers.changes[ALTER] = self.alter
        handlers.background.append(self.catch_up)

    async def alter(self, leader: Leader, request: ChangeRequest) -> Done:
        """Make or remove exclusions, each on its own."""
        deadline = time.monotonic() + request.timeout
        asked = msgspec.json.decode(request.body, type=AlterExclusions)
        entries = {entry.broker_id: entry for entry in asked.entries}
        failures: list[AlterFailure] = []
        if asked.change is ExclusionChange.DELETE:
            for broker_id in await self._without(leader.view, entries, request):
                del entries[broker_id]
                failures.append(failure_of(broker_id, not_excluded(broker_id)))
        before = wanted(leader.view)
        pending = {
            broker_id: ExclusionRecord(
                change=asked.change, reason=entry.reason, request=request.identifier, caller=asked.caller
            )
            for broker_id, entry in entries.items()
        }
        # Written first: only a leader that is not fenced may go on.
        await leader.write({_key(broker_id): record for broker_id, record in pending.items()})
        outcomes = await self._apply(pending, deadline - time.monotonic())
        _note(pending, outcomes)
        records: dict[str, StateRecord | None] = {}
        for broker_id, outcome in outcomes.items():
            if isinstance(outcome, FacadeError):
                failures.append(failure_of(broker_id, outcome))
                records[_key(broker_id)] = before.get(broker_id)
            elif outcome:
                records[_key(broker_id)] = _applied(pending[broker_id])
        return Done(AlteredExclusions(failures), records)

    async def catch_up(self, leader: Leader) -> None:
        """Apply what is wanted and was not possible before, and what another tool has changed since."""
        known = wanted(leader.view)
        looks = time.monotonic() - self._looked_at >= _LOOK_SECONDS
        if not known or (all(record.is_applied for record in known.values()) and not looks):
            return
        # A leader that was paused must not repeat what others have undone.
        await leader.refresh()
        known = wanted(leader.view)
        late = {broker_id: record for broker_id, record in known.items() if not record.is_applied}
        if looks:
            self._looked_at = time.monotonic()
            cordoned = await self._cordoned(known)
            late |= {
                broker_id: record
                for broker_id, record in known.items()
                if broker_id in cordoned and not cordoned[broker_id]
            }
        done: dict[str, ExclusionRecord | None] = {}
        outcomes = await self._apply(late, _BACKGROUND_SECONDS)
        # Those that wait or fail do so at each look.
        _note(late, {broker_id: outcome for broker_id, outcome in outcomes.items() if outcome is True})
        for broker_id, outcome in outcomes.items():
            if isinstance(outcome, FacadeError):
                self._warn(broker_id, outcome)
            is_removal = late[broker_id].change is ExclusionChange.DELETE
            # An exclusion in the broker's properties file stays; this one is removed.
            if outcome is True or (is_removal and isinstance(outcome, InvalidKafkaRequest)):
                done[_key(broker_id)] = _applied(late[broker_id])
        await leader.write({key: record for key, record in done.items() if record != _at(leader.view, key)})

    def _warn(self, broker_id: int, error: FacadeError) -> None:
        if self._warned.get(broker_id) != error.message:
            self._warned[broker_id] = error.message
            logger.warning("the exclusion of broker %d can't be changed: %s", broker_id, error)

    async def _without(self, view: StateView, broker_ids: Iterable[int], request: ChangeRequest) -> list[int]:
        """Return those of the brokers that are not excluded, here or by another tool."""
        known = wanted(view)

        def is_known(broker_id: int) -> bool:
            record = known.get(broker_id)
            # A leader before this one may have begun the same request.
            return record is not None and (record.change is ExclusionChange.SET or record.request == request.identifier)

        others = [broker_id for broker_id in broker_ids if not is_known(broker_id)]
        cordoned = await self._cordoned(broker_id for broker_id in others if broker_id not in known)
        return [broker_id for broker_id in others if not cordoned.get(broker_id)]

    async def _cordoned(self, broker_ids: Iterable[int]) -> dict[int, bool]:
        alive = await self._alive()
        asked = [broker_id for broker_id in broker_ids if alive.get(broker_id)]
        found = await self._kafka.cordons.cordons(asked, _BACKGROUND_SECONDS)
        return {broker_id: cordon.holds for broker_id, cordon in found.items()}

    async def _alive(self) -> dict[int, bool]:
        return dict((await self._kafka.brokers.registrations(_BACKGROUND_SECONDS)).alive)

    async def _apply(self, records: dict[int, ExclusionRecord], timeout: float) -> dict[int, bool | FacadeError]:
        """Cordon or uncordon the brokers that are alive; whether each has done so, or why not."""
        if not records:
            return {}
        deadline = time.monotonic() + timeout
        alive = await self._alive()

        async def apply(broker_id: int) -> bool | FacadeError:
            if not alive.get(broker_id):
                return False
            try:
                return await cordon(
                    self._kafka, broker_id, records[broker_id].change, (deadline - time.monotonic()) * _SHARE
                )
            except FacadeError as error:
                return error.with_traceback(None)

        found = await asyncio.gather(*map(apply, records))
        return dict(zip(records, found, strict=True))


def not_excluded(broker_id: int) -> NotFound:
    """Return the error for a broker without an exclusion."""
    return NotFound(f"No replica exclusion for broker {broker_id} was present.", broker_id=str(broker_id))


def _note(records: Mapping[int, ExclusionRecord], outcomes: Mapping[int, bool | FacadeError]) -> None:
    for broker_id, outcome in outcomes.items():
        record = records[broker_id]
        failed = isinstance(outcome, FacadeError)
        audit(
            "exclusion-set" if record.change is ExclusionChange.SET else "exclusion-deleted",
            "failed" if failed else "done" if outcome else "waiting",
            callers=[record.caller],
            brokers=[broker_id],
            message=str(outcome) if failed else None,
        )


def _key(broker_id: int) -> str:
    return key_of(ExclusionRecord, broker_id)


def _at(view: StateView, key: str) -> ExclusionRecord | None:
    return view.get(ExclusionRecord, key.partition("/")[2])


def _applied(record: ExclusionRecord) -> ExclusionRecord | None:
    """Return the record once the broker has done what is wanted; an exclusion that is removed needs none."""
    if record.change is ExclusionChange.DELETE:
        return None
    return msgspec.structs.replace(record, is_applied=True)
