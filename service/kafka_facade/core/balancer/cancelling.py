"""Cancels moves that go on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import MoveRecord
from kafka_facade.core.reassignments.port import Place

logger = logging.getLogger("kafka_facade.core")


async def cancel(kafka: BalancerKafka, moves: Iterable[MoveRecord], timeout: float) -> int:
    """Cancel moves that go on, and restore the order of replicas, which Kafka does not; return how many there were.

    A leader before this one may have cancelled moves whose order it could not restore any more.
    """
    found = {(entry.topic, entry.partition): entry for entry in await kafka.reassignments.list_reassignments(timeout)}
    known = {move.place: move for move in moves}
    # An operator may have given a partition another move since.
    going = {
        place: move.before
        for place, move in known.items()
        if (entry := found.get(place)) and set(entry.adding_replicas) == set(move.adding)
    }
    failed = await kafka.reassignments.reassign(dict.fromkeys(going), timeout) if going else {}
    for (topic, partition), error in failed.items():
        logger.info("the move of %s-%d is not cancelled: %s", topic, partition, error)
    # A move that has ended meanwhile is not cancelled: its order before would be a move back.
    cancelled = {place: before for place, before in going.items() if place not in failed}
    ended = {place: move for place, move in known.items() if place not in found and move.adding}
    restored = cancelled | (await _disordered(kafka, ended, timeout) if ended else {})
    if not restored:
        return 0
    failed = await kafka.reassignments.reassign(restored, timeout)
    for (topic, partition), error in failed.items():
        logger.info("the order of the replicas of %s-%d is not restored: %s", topic, partition, error)
    logger.info("cancelled the moves of %d partitions", len(restored))
    return len(restored)


async def _disordered(
    kafka: BalancerKafka, moves: Mapping[Place, MoveRecord], timeout: float
) -> dict[Place, tuple[int, ...]]:
    """Return the replicas of moves that are where they were before them, but in another order."""
    partitions = (await kafka.placement.placement(timeout)).partitions

    def is_disordered(move: MoveRecord) -> bool:
        entry = partitions.get(move.place)
        return entry is not None and entry.replicas != move.before and set(entry.replicas) == set(move.before)

    return {place: move.before for place, move in moves.items() if is_disordered(move)}
