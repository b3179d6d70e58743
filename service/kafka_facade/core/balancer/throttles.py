"""Throttles of replication while partitions move (KIP-73).

Rates are set on brokers, and the replicas that move are named on topics: ``*`` would throttle healthy followers too.
What an operator has set is kept, and is there again afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from kafka_facade.core.balancer.port import BalancerKafka, Placement
from kafka_facade.core.balancer.records import (
    FOLLOWER_REPLICAS,
    LEADER_REPLICAS,
    RATES,
    MoveRecord,
    ThrottleRecord,
)
from kafka_facade.core.balancer.trail import note_throttles
from kafka_facade.core.configs.model import AlterOperation, Config, ConfigAlteration
from kafka_facade.core.errors import FacadeError, KafkaTimeout, NotFound
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.records import StateRecord, key_of

_REPLICAS: Final = (LEADER_REPLICAS, FOLLOWER_REPLICAS)
_ALL: Final = "*"
_BROKER: Final = "broker/"
_TOPIC: Final = "topic/"
_EFFECT_SECONDS: Final = 0.5


class Throttles:
    """Sets and removes throttles on the leader."""

    def __init__(self, kafka: BalancerKafka, rate: int) -> None:
        self._kafka = kafka
        self._rate = rate
        self._set: set[str] = set()
        """The records of brokers whose throttles this leader has set, as far as it knows."""
        self._is_new = False

    def forget(self) -> None:
        """Forget what has been set: another worker may have led meanwhile."""
        self._set.clear()

    async def apply(
        self,
        leader: Leader,
        moves: Sequence[MoveRecord],
        placement: Placement,
        timeout: float,
        tasks: tuple[str, ...] = (),
    ) -> None:
        """Throttle these moves. Throttles of brokers stay until :meth:`lift`, those of other topics are removed.

        ``tasks`` are those for which the replicas move.
        """
        if self._rate < 0:
            return
        deadline = time.monotonic() + timeout
        brokers = {broker for move in moves for broker in (*move.before, *move.replicas)}
        set_on = await self._throttle_brokers(leader, brokers & placement.racks.keys(), deadline, tasks)
        wanted = _entries(moves)
        topics = await self._throttle_topics(leader, wanted, deadline, tasks)
        if set_on or topics:
            note_throttles(leader.view, "throttles-set", tasks, set_on, topics)
        done = [name for name in _names(leader, _TOPIC) if name not in wanted]
        await self._restore_topics(leader, done, deadline)
        if self._is_new:
            self._is_new = False
            # Brokers learn of it a moment later than Kafka shows it.
            await asyncio.sleep(_EFFECT_SECONDS)

    async def lift(self, leader: Leader, alive: Mapping[int, bool], timeout: float, *, topics: bool = True) -> bool:
        """Remove the throttles of the brokers that are alive, and those of topics; return whether none is left."""
        deadline = time.monotonic() + timeout
        names = _names(leader, _TOPIC) if topics else []
        brokers = [broker for broker in map(int, _names(leader, _BROKER)) if alive.get(broker)]
        if names or brokers:
            # Written once more, so that a leader that is none any more lifts nothing.
            name, record = next(iter(leader.view.all(ThrottleRecord).items()))
            await leader.write({key_of(ThrottleRecord, name): record})
        # Neither may use all of the time.
        await self._restore_topics(leader, names, time.monotonic() + _left(deadline) / 2)
        await self._restore_brokers(leader, brokers, deadline)
        return not leader.view.all(ThrottleRecord)

    async def _throttle_brokers(
        self, leader: Leader, brokers: Iterable[int], deadline: float, tasks: tuple[str, ...]
    ) -> list[int]:
        """Set rates; return the brokers on which they were set."""
        late = sorted(broker for broker in brokers if f"{_BROKER}{broker}" not in self._set)
        found = await self._kafka.configs.broker_configs(late, _left(deadline) / 2) if late else []
        records: dict[str, ThrottleRecord] = {}
        changes: dict[int, list[ConfigAlteration]] = {}
        for broker, configs in zip(late, found, strict=True):
            if isinstance(configs, FacadeError):
                continue
            there = _explicit(configs)
            record = leader.view.get(ThrottleRecord, f"{_BROKER}{broker}")
            old = {} if record is None else record.ours
            # The rate of an operator wins.
            ours = {name: old.get(name, str(self._rate)) for name in RATES if there.get(name) in (None, old.get(name))}
            records[f"{_BROKER}{broker}"] = ThrottleRecord(ours=ours, tasks=tasks)
            changes[broker] = [ConfigAlteration(name, value) for name, value in ours.items() if name not in there]
        await _write(leader, records)
        # Topics need time too.
        failed = await self._alter_brokers(changes, time.monotonic() + _left(deadline) / 2)
        altered = [broker for broker in changes if changes[broker] and broker not in failed]
        self._is_new = self._is_new or bool(altered)
        self._set.update(f"{_BROKER}{broker}" for broker in changes.keys() - failed.keys())
        _raise_lasting(failed.values())
        return altered

    async def _alter_brokers(
        self, changes: Mapping[int, Sequence[ConfigAlteration]], deadline: float
    ) -> dict[int, FacadeError]:
        """Alter the configs of brokers at the same time, so that one that hangs delays no other; return the errors."""

        async def alter(broker: int, needed: Sequence[ConfigAlteration]) -> FacadeError | None:
            try:
                if needed:
                    await self._kafka.configs.alter_broker_configs(broker, needed, False, _left(deadline))
            except FacadeError as error:
                return error
            return None

        found = await asyncio.gather(*(alter(broker, needed) for broker, needed in changes.items()))
        return {broker: error for broker, error in zip(changes, found, strict=True) if error is not None}

    async def _throttle_topics(
        self,
        leader: Leader,
        wanted: Mapping[str, Mapping[str, Sequence[str]]],
        deadline: float,
        tasks: tuple[str, ...],
    ) -> list[str]:
        """Name the replicas to throttle; return the topics on which that has changed something."""
        topics = list(wanted)
        found = await self._kafka.configs.topic_configs(topics, _left(deadline)) if topics else []
        during: dict[str, ThrottleRecord] = {}
        after: dict[str, ThrottleRecord] = {}
        changes: dict[str, list[ConfigAlteration]] = {}
        for topic, configs in zip(topics, found, strict=True):
            if isinstance(configs, FacadeError):
                # It was deleted; its move fails by itself.
                continue
            name = f"{_TOPIC}{topic}"
            record = leader.view.get(ThrottleRecord, name)
            old = {} if record is None else record.ours
            ours, needed = _replacing(old, wanted[topic], _explicit(configs))
            # The config may have the old entries or the new ones until it is known to be altered.
            both = {key: _union(old.get(key, ""), text) for key, text in ours.items()}
            during[name] = ThrottleRecord(ours=both, tasks=tasks)
            after[name] = ThrottleRecord(ours=ours, tasks=tasks)
            if needed:
                changes[topic] = needed
        await _write(leader, during)
        failed = await self._kafka.configs.alter_topic_configs(changes, False, _left(deadline)) if changes else {}
        self._is_new = self._is_new or bool(changes)
        for error in failed.values():
            if not isinstance(error, NotFound):
                raise error
        await _write(leader, after)
        return [topic for topic in changes if topic not in failed]

    async def _restore_topics(self, leader: Leader, topics: Collection[str], deadline: float) -> None:
        if not topics:
            return
        names = list(topics)
        changes: dict[str, list[ConfigAlteration]] = {}
        found = await self._kafka.configs.topic_configs(names, _left(deadline))
        done: dict[str, StateRecord | None] = {}
        for topic, configs in zip(names, found, strict=True):
            record = leader.view.get(ThrottleRecord, f"{_TOPIC}{topic}")
            if record is None or (isinstance(configs, FacadeError) and not isinstance(configs, NotFound)):
                continue
            if not isinstance(configs, FacadeError):
                changes[topic] = _restoring(record, _explicit(configs))
            done[key_of(ThrottleRecord, f"{_TOPIC}{topic}")] = None
        needed = {topic: entries for topic, entries in changes.items() if entries}
        failed = await self._kafka.configs.alter_topic_configs(needed, False, _left(deadline)) if needed else {}
        for topic, error in failed.items():
            if not isinstance(error, NotFound):
                done.pop(key_of(ThrottleRecord, f"{_TOPIC}{topic}"), None)
        await self._forget(leader, done)

    async def _restore_brokers(self, leader: Leader, brokers: Sequence[int], deadline: float) -> None:
        found = await self._kafka.configs.broker_configs(brokers, _left(deadline) / 2) if brokers else []
        changes: dict[int, list[ConfigAlteration]] = {}
        for broker, configs in zip(brokers, found, strict=True):
            record = leader.view.get(ThrottleRecord, f"{_BROKER}{broker}")
            if record is None or isinstance(configs, FacadeError):
                continue
            current = _explicit(configs)
            # A rate that has changed since is an operator's.
            changes[broker] = [
                ConfigAlteration(name, operation=AlterOperation.DELETE)
                for name, value in record.ours.items()
                if current.get(name) == value
            ]
        failed = await self._alter_brokers(changes, deadline)
        done = [broker for broker in changes if broker not in failed]
        await self._forget(leader, {key_of(ThrottleRecord, f"{_BROKER}{broker}"): None for broker in done})
        _raise_lasting(failed.values())

    async def _forget(self, leader: Leader, done: Mapping[str, StateRecord | None]) -> None:
        names = [key.removeprefix(f"{ThrottleRecord.prefix}/") for key in done]
        found = [record for name in names if (record := leader.view.get(ThrottleRecord, name)) is not None]
        await leader.write(done)
        self._set.difference_update(names)
        if found:
            tasks = [task for record in found for task in record.tasks]
            note_throttles(leader.view, "throttles-lifted", tasks, *_parts(names))


async def _write(leader: Leader, records: Mapping[str, ThrottleRecord]) -> None:
    """Write the records that differ from those that are there."""
    changed = {name: record for name, record in records.items() if leader.view.get(ThrottleRecord, name) != record}
    await leader.write({key_of(ThrottleRecord, name): record for name, record in changed.items()})


def _parts(names: Iterable[str]) -> tuple[list[int], list[str]]:
    """Return the brokers and the topics that records are about."""
    known = list(names)
    brokers = [int(name.removeprefix(_BROKER)) for name in known if name.startswith(_BROKER)]
    return brokers, [name.removeprefix(_TOPIC) for name in known if name.startswith(_TOPIC)]


def _names(leader: Leader, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in leader.view.all(ThrottleRecord) if name.startswith(prefix)]


def _entries(moves: Iterable[MoveRecord]) -> dict[str, dict[str, list[str]]]:
    """Return the replicas to throttle by topic: those that are copied from, and those that are copied to."""
    found: dict[str, dict[str, list[str]]] = {}
    for move in sorted(moves, key=lambda move: move.place):
        if move.adding:
            entries = found.setdefault(move.topic, {name: [] for name in _REPLICAS})
            entries[LEADER_REPLICAS] += [f"{move.partition}:{broker}" for broker in move.before]
            entries[FOLLOWER_REPLICAS] += [f"{move.partition}:{broker}" for broker in move.adding]
    return found


def _explicit(configs: Iterable[Config]) -> dict[str, str]:
    """Return the values that are not Kafka's defaults."""
    return {config.name: config.value for config in configs if config.value and not config.is_default}


def _split(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _union(*texts: str) -> str:
    return ",".join(dict.fromkeys(entry for text in texts for entry in _split(text)))


def _replacing(
    old: Mapping[str, str], wanted: Mapping[str, Sequence[str]], current: Mapping[str, str]
) -> tuple[dict[str, str], list[ConfigAlteration]]:
    """Return the throttled replicas to add to those of an operator, and the changes that replace the old ones by them.

    Where an operator has throttled all replicas, there is none to add.
    """
    ours: dict[str, str] = {}
    changes = []
    for name, entries in wanted.items():
        there = _split(current.get(name, ""))
        own = set(_split(old.get(name, "")))
        others = dict.fromkeys(entry for entry in there if entry not in own)
        added = [] if _ALL in others else [entry for entry in entries if entry not in others]
        ours[name] = ",".join(added)
        if {*others, *added} != set(there):
            changes.append(ConfigAlteration(name, ",".join([*others, *added])))
    return ours, changes


def _restoring(record: ThrottleRecord, current: Mapping[str, str]) -> list[ConfigAlteration]:
    """Return the changes that remove the throttled replicas and keep all others."""
    changes = []
    for name, text in record.ours.items():
        there = _split(current.get(name, ""))
        ours = set(_split(text))
        kept = [entry for entry in there if entry not in ours]
        if kept == there:
            continue
        if kept:
            changes.append(ConfigAlteration(name, ",".join(kept)))
        else:
            changes.append(ConfigAlteration(name, operation=AlterOperation.DELETE))
    return changes


def _raise_lasting(errors: Iterable[FacadeError]) -> None:
    """Raise the first error that is not retriable; what could not be altered otherwise is altered at the next step."""
    for error in errors:
        if not error.codes.retriable:
            raise error


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise KafkaTimeout
    return left
