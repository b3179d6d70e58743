"""Moves replicas on the leader, in small batches: one step at a time, so that the leader can do other work between.

Nothing is begun before it is written. So the next leader knows what goes on, and plans the rest anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from kafka_facade.core.balancer.cancelling import cancel
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.planning.goals import Goal
from kafka_facade.core.balancer.planning.plan import Reason, Unsolvable
from kafka_facade.core.balancer.planning.snapshot import Snapshot
from kafka_facade.core.balancer.plans import PlanMaker, Planned, failure_of, others_move
from kafka_facade.core.balancer.port import BalancerKafka, PlacedPartition
from kafka_facade.core.balancer.progress import after_moves, execution_for, kept_progress, with_totals
from kafka_facade.core.balancer.queue import Limits, MoveQueue
from kafka_facade.core.balancer.records import (
    NO_PLAN,
    REFUSED,
    STALLED,
    UNDER_REPLICATED,
    ExecutionRecord,
    Failure,
    Kind,
    MoveRecord,
    Purpose,
)
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.balancer.stalls import Patience, Stalls, StepClock
from kafka_facade.core.balancer.throttles import Throttles
from kafka_facade.core.balancer.trail import note_moves, note_plan, tasks_for
from kafka_facade.core.errors import FacadeError, NotFound
from kafka_facade.core.quoting import quote
from kafka_facade.core.reassignments.port import Place
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.records import key_of
from kafka_facade.core.time_slices import in_slices

logger = logging.getLogger("kafka_facade.core")

STEP_SECONDS: Final = 5.0
"""How long one request to Kafka of a step may take."""
# Metadata may not show yet what has happened: a move that is neither going on nor done for this long did not happen.
_LOST_SECONDS: Final = 15.0
# How long to wait with the next plan if nothing of the last one could begin.
_PLAN_PAUSE_SECONDS: Final = 5.0
_MOST_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has found: the plan has been carried out, or cannot be for some brokers (or for the whole)."""

    is_done: bool = False
    failure: Failure | None = None
    broker_ids: frozenset[int] = frozenset()


_GOES_ON: Final = Outcome()


class Executor:
    """Carries out one plan at a time. Only the leader calls it; :meth:`close` ends a plan that is being made."""

    def __init__(self, kafka: BalancerKafka, options: BalancerOptions, plans: PlanMaker) -> None:
        self._kafka = kafka
        self._options = options
        self._plans = plans
        self._limits = Limits(options.concurrent_moves, options.broker_moves)
        self._throttles = Throttles(kafka, options.throttle)
        self._purpose: Purpose | None = None
        self._planning: asyncio.Task[Planned] | None = None
        self._plan_due = 0.0
        self._queue: MoveQueue | None = None
        self._lacking: frozenset[Place] = frozenset()
        self._clock = StepClock(options.stall_timeout)
        self._blocked = self.patience()
        self._stuck = self.patience()
        self._progress = Stalls(kafka, options.stall_timeout, self._clock.now)
        self._gone_since: dict[Place, float] = {}
        """Since when moves are neither going on nor done."""
        self._failures = 0

    def patience(self) -> Patience:
        """Return one for what lasts from step to step."""
        return Patience(self._options.stall_timeout, self._clock.now)

    async def close(self) -> None:
        """End the plan that is being made; never raises."""
        planning = self._planning
        self._forget_plan()
        if planning is not None:
            await asyncio.gather(planning, return_exceptions=True)

    def forget(self) -> None:
        """Forget all that is not written: another worker may have led meanwhile."""
        self._begin(None)
        self._throttles.forget()

    def _forget_plan(self) -> None:
        if self._planning is not None:
            self._planning.cancel()
        self._planning = None
        self._queue = None

    def _begin(self, purpose: Purpose | None) -> None:
        self._forget_plan()
        self._purpose = purpose
        self._plan_due = 0.0
        self._lacking = frozenset()
        self._blocked.end()
        self._stuck.end()
        self._progress.forget()
        self._gone_since.clear()
        self._failures = 0

    async def step(
        self, leader: Leader, seen: Look, purpose: Purpose, offline_since_ms: dict[int, int], leaving: frozenset[int]
    ) -> Outcome:
        """Do what can be done now for a purpose."""
        self._clock.step()
        record = leader.view.get(ExecutionRecord)
        if record is not None and record.purpose.kind is not purpose.kind:
            await self.stop(leader, seen)
            return _GOES_ON
        if purpose != self._purpose:
            self._begin(purpose)
        if record is None or record.purpose != purpose:
            record = execution_for(purpose, record)
        record = await self._settle(leader, seen, record)
        if needless := [move for move in record.batch if _is_needless(move, purpose, seen, leaving)]:
            await self._drop(leader, record, needless)
            return _GOES_ON
        if stalled := await self._progress.stalled(seen, record.batch, STEP_SECONDS):
            return await self._give_up(leader, seen, record, stalled)
        if self._queue is None:
            planned = self._planned(seen, purpose, offline_since_ms, leaving)
            if planned is None:
                return _GOES_ON
            note_plan(leader.view, purpose, planned.plan)
            if (found := self._assess(seen, planned, purpose, record)) is not None:
                return found
        return await self._begin_more(leader, seen, record)

    async def stop(self, leader: Leader, seen: Look) -> bool:
        """Cancel what goes on and remove throttles; return whether nothing is left of it."""
        self._begin(None)
        record = leader.view.get(ExecutionRecord)
        if record is not None and record.batch:
            try:
                record = await self._settle(leader, seen, record)
            except FacadeError as error:
                logger.info("the moves that have ended can't be counted now: %s", error)
        if record is not None and record.batch:
            # Written once more, so that a leader that is none any more cancels nothing.
            await leader.write({key_of(ExecutionRecord): record})
            cancelled = await cancel(self._kafka, record.batch, STEP_SECONDS)
            note_moves(leader.view, record.purpose, "moves-cancelled", cancelled)
        is_clear = await self.lift_throttles(leader, seen.alive)
        if record is not None:
            await leader.write({**kept_progress(leader.view), key_of(ExecutionRecord): None})
        return is_clear

    async def lift_throttles(self, leader: Leader, alive: Mapping[int, bool], *, topics: bool = True) -> bool:
        """Remove the throttles of the brokers that are alive, and those of topics; return whether none is left."""
        return await self._throttles.lift(leader, alive, STEP_SECONDS, topics=topics)

    async def _drop(self, leader: Leader, record: ExecutionRecord, moves: Sequence[MoveRecord]) -> None:
        """Cancel some of the moves, and plan anew."""
        self._forget_plan()
        await leader.write({key_of(ExecutionRecord): record})
        cancelled = await cancel(self._kafka, moves, STEP_SECONDS)
        note_moves(leader.view, record.purpose, "moves-cancelled", cancelled)
        kept = tuple(move for move in record.batch if move not in moves)
        await leader.write({key_of(ExecutionRecord): msgspec.structs.replace(record, batch=kept)})

    async def _give_up(
        self, leader: Leader, seen: Look, record: ExecutionRecord, stalled: Sequence[MoveRecord]
    ) -> Outcome:
        """Plan anew for moves to brokers that are down; others will not end, either, if they are made again."""
        down = [move for move in stalled if _is_given_up(move, record.purpose, seen)]
        if down:
            logger.warning("the moves of %d partitions to or from brokers that are down are given up", len(down))
            await self._drop(leader, record, down)
            return _GOES_ON
        topic, partition = stalled[0].place
        message = (
            f"The move of partition {partition} of topic {quote(topic)} makes no progress: the partition is written "
            "faster than the throttle of replication, or brokers that have its records do not answer."
        )
        return Outcome(failure=Failure(STALLED, message), broker_ids=_concerned(stalled, record.purpose))

    async def _settle(self, leader: Leader, seen: Look, record: ExecutionRecord) -> ExecutionRecord:
        """Take the moves that have ended out of the batch, and let their preferred leaders lead."""
        going: list[MoveRecord] = []
        finished: list[MoveRecord] = []
        before, self._gone_since = self._gone_since, {}
        for move in record.batch:
            if move.place not in seen.moving:
                found = seen.placement.partitions.get(move.place)
                if found is not None and found.replicas == move.replicas:
                    finished.append(move)
                    continue
                # One answer may leave a partition out, since metadata lags behind.
                since = before.get(move.place, self._clock.now())
                if self._clock.now() - since > _LOST_SECONDS:
                    self._forget_plan()
                    continue
                self._gone_since[move.place] = since
            going.append(move)
        if len(going) == len(record.batch):
            return record
        if self._queue is not None:
            self._queue.finish(finished)
        await self._elect(seen, finished)
        self._failures = 0
        settled = msgspec.structs.replace(record, batch=tuple(going), progress=after_moves(record, finished))
        await leader.write({key_of(ExecutionRecord): settled})
        note_moves(leader.view, record.purpose, "moves-completed", len(finished))
        return settled

    async def _elect(self, seen: Look, finished: Iterable[MoveRecord]) -> None:
        partitions = seen.placement.partitions
        places = [move.place for move in finished if partitions[move.place].leader != move.replicas[0]]
        if places:
            failed = await self._kafka.reassignments.elect_preferred(places, STEP_SECONDS)
            for place, error in failed.items():
                logger.info("the preferred leader of %s-%d does not lead: %s", *place, error)

    def _planned(
        self, seen: Look, purpose: Purpose, offline_since_ms: dict[int, int], leaving: frozenset[int]
    ) -> Planned | None:
        """Return the plan once it is made. Raises the errors of the snapshot."""
        if self._planning is None:
            if time.monotonic() >= self._plan_due:
                evens_load = purpose.kind in (Kind.ADDITION, Kind.UNEVEN_LOAD)
                self._planning = self._plans.start(seen, offline_since_ms, leaving, evens_load=evens_load)
            return None
        if not self._planning.done():
            return None
        planning, self._planning = self._planning, None
        return planning.result()

    def _assess(self, seen: Look, planned: Planned, purpose: Purpose, record: ExecutionRecord) -> Outcome | None:
        """Take a plan over; return why it is not carried out, if so."""
        own = {move.place for move in record.batch}
        lasting: list[Unsolvable] = []
        passing: list[Unsolvable] = []
        for entry in planned.plan.unsolvable:
            concerns = entry.goal is Goal.EMPTY_BROKERS and entry.broker_id in purpose.emptied
            if concerns and (entry.topic, entry.partition) not in own:
                (passing if entry.reason in (Reason.REASSIGNING, Reason.NO_LEADER) else lasting).append(entry)
        if lasting and not self._may_change(seen, planned.snapshot, purpose):
            return _no_plan(lasting)
        # Otherwise the rest waits for the brokers that are away.
        passing += lasting
        goals = self._options.goals(evens_load=False)
        smallest_first = purpose.kind in (Kind.REMOVAL, Kind.FAILURE)
        self._queue = MoveQueue(planned.plan, planned.snapshot, goals, smallest_first=smallest_first)
        if planned.plan.is_empty and not own:
            self._queue = None
            if not passing:
                return Outcome(is_done=True)
            self._plan_due = time.monotonic() + _PLAN_PAUSE_SECONDS
            if self._stuck.is_over():
                return Outcome(failure=failure_of(passing))
        return None

    def _may_change(self, seen: Look, snapshot: Snapshot, purpose: Purpose) -> bool:
        """Return whether a broker that is away, or did not answer, may soon make room; not for too long."""
        is_away = bool(seen.offline - set(purpose.emptied)) or any(
            broker.offline_ms is None and broker.total_bytes is None and broker.is_excluded and not broker.is_leaving
            for broker in snapshot.brokers
        )
        return is_away and not self._stuck.is_over()

    async def _begin_more(self, leader: Leader, seen: Look, record: ExecutionRecord) -> Outcome:
        queue = self._queue
        if queue is None:
            return _GOES_ON
        going = list(record.batch)
        # Moves to a broker that has died do not end, either.
        is_at_work = bool(going) or len(queue) > 0
        if is_at_work and (reason := await self._reason_to_wait(seen, record)) is not None:
            return Outcome(failure=reason) if self._blocked.is_over() else _GOES_ON
        self._blocked.end()
        new = queue.take(seen, going, self._limits, record.purpose.emptied)
        if not new:
            if not going:
                # All is done, or the rest does not fit as planned: plan again.
                self._queue = None
                if len(queue):
                    self._plan_due = time.monotonic() + _PLAN_PAUSE_SECONDS
                if len(queue) and self._stuck.is_over():
                    message = "The remaining partitions are under-replicated, or there is no room for them."
                    return Outcome(failure=Failure(NO_PLAN, message))
            return _GOES_ON
        self._stuck.end()
        batch = (*going, *new)
        written = msgspec.structs.replace(record, batch=batch, progress=with_totals(record, batch, queue.waiting))
        await leader.write({key_of(ExecutionRecord): written})
        tasks = tuple(task.identifier for task in tasks_for(leader.view, record.purpose))
        await self._throttles.apply(leader, batch, seen.placement, STEP_SECONDS, tasks)
        return await self._reassign(leader, written, new)

    async def _reassign(self, leader: Leader, record: ExecutionRecord, new: Sequence[MoveRecord]) -> Outcome:
        targets = {move.place: move.replicas for move in new}
        failed: Mapping[Place, FacadeError]
        try:
            failed = await self._kafka.reassignments.reassign(targets, STEP_SECONDS)
        except FacadeError as refusal:
            if refusal.codes.retriable:
                raise
            # Such as without a right. Otherwise the moves would count as begun.
            failed = dict.fromkeys(targets, refusal.with_traceback(None))
        note_moves(leader.view, record.purpose, "moves-begun", len(new) - len(failed), len(failed))
        if not failed:
            return _GOES_ON
        kept = tuple(move for move in record.batch if move.place not in failed)
        await leader.write({key_of(ExecutionRecord): msgspec.structs.replace(record, batch=kept)})
        self._queue = None
        refused = {place: error for place, error in failed.items() if _is_lasting(error)}
        for (topic, partition), error in failed.items():
            logger.warning("the partition %s-%d can't be moved now: %s", topic, partition, error)
        self._failures += 1
        if refused and self._failures >= _MOST_FAILURES:
            (topic, partition), error = next(iter(refused.items()))
            message = f"Kafka does not move partition {partition} of topic {quote(topic)}: {error.message}"
            concerned = _concerned([move for move in new if move.place in refused], record.purpose)
            return Outcome(failure=Failure(REFUSED, message), broker_ids=concerned)
        return _GOES_ON

    async def _reason_to_wait(self, seen: Look, record: ExecutionRecord) -> Failure | None:
        """Return why no new move may begin now, as the failure if that lasts."""
        own = {move.place for move in record.batch}
        emptied = frozenset(record.purpose.emptied)
        others = seen.moving.keys() - own

        def lacks(item: tuple[Place, PlacedPartition]) -> Place | None:
            place, entry = item
            return place if set(entry.replicas) - entry.in_sync - emptied else None

        found = await in_slices(lacks, seen.placement.partitions.items())
        lacking = frozenset(place for place in found if place is not None) - own - others
        # Metadata lags behind: what is seen once may be over.
        lasting = lacking & self._lacking
        self._lacking = lacking
        if others:
            return others_move()
        if lasting:
            topic, partition = min(lasting)
            message = f"Partitions are under-replicated, such as partition {partition} of topic {quote(topic)}."
            return Failure(UNDER_REPLICATED, message)
        return None


def _is_lasting(error: FacadeError) -> bool:
    """Return whether a move is rejected for good. A topic that was deleted needs none."""
    return not (error.codes.retriable or isinstance(error, NotFound))


def _is_needless(move: MoveRecord, purpose: Purpose, seen: Look, leaving: frozenset[int]) -> bool:
    """Return whether all brokers that would lose replicas may keep them: a removal was cancelled, or they are back."""
    brokers = move.removing if purpose.emptied else ()
    return bool(brokers) and all(seen.alive.get(broker) and broker not in leaving for broker in brokers)


def _is_given_up(move: MoveRecord, purpose: Purpose, seen: Look) -> bool:
    """Return whether a stalled move is cancelled: to a broker that is down, or from one whose removal has failed."""
    others = set(move.removing) - set(purpose.broker_ids) if purpose.kind is Kind.REMOVAL else ()
    return any(not seen.alive.get(broker) for broker in (*move.adding, *others))


def _concerned(moves: Iterable[MoveRecord], purpose: Purpose) -> frozenset[int]:
    """Return the brokers of a purpose that moves concern; none means all."""
    return frozenset(broker for move in moves for broker in (*move.adding, *move.removing)) & set(purpose.broker_ids)


def _no_plan(entries: Sequence[Unsolvable]) -> Outcome:
    brokers = frozenset(entry.broker_id for entry in entries if entry.broker_id is not None)
    return Outcome(failure=failure_of(entries), broker_ids=brokers)
