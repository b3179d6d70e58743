"""Cancels moves that go on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from kafka_facade.core.balancer.records import MoveRecord
from kafka_facade.core.reassignments.port import ReassignmentPort

logger = logging.getLogger("kafka_facade.core")


async def cancel(reassignments: ReassignmentPort, moves: Iterable[MoveRecord], timeout: float) -> int:
    """Cancel moves that go on, and restore the order of replicas, which Kafka does not; return how many there were."""
    found = {(entry.topic, entry.partition): entry for entry in await reassignments.list_reassignments(timeout)}
    # An operator may have given a partition another move since.
    going = {
        move.place: move.before
        for move in moves
        if (entry := found.get(move.place)) and set(entry.adding_replicas) == set(move.adding)
    }
    failed = await reassignments.reassign(dict.fromkeys(going), timeout) if going else {}
    for (topic, partition), error in failed.items():
        logger.info("the move of %s-%d is not cancelled: %s", topic, partition, error)
    # A move that has ended meanwhile is not cancelled: its order before would be a move back.
    cancelled = {place: before for place, before in going.items() if place not in failed}
    if not cancelled:
        return 0
    failed = await reassignments.reassign(cancelled, timeout)
    for (topic, partition), error in failed.items():
        logger.info("the order of the replicas of %s-%d is not restored: %s", topic, partition, error)
    logger.info("cancelled the moves of %d partitions", len(cancelled))
    return len(cancelled)
