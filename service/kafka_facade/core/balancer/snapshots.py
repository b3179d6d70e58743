"""The snapshot of a cluster that the planner gets."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot
from kafka_facade.core.balancer.port import BalancerKafka, Disks, PlacedPartition, Placement
from kafka_facade.core.errors import UnsupportedVersion
from kafka_facade.core.reassignments.port import MovingPartition, Place
from kafka_facade.core.time_slices import in_slices, time_slice

# Brokers that do not answer must leave time for the answer.
_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """What goes on in the cluster: who is alive, where replicas are, and what moves."""

    alive: Mapping[int, bool]
    is_complete: bool
    """Whether ``alive`` has brokers that are down."""
    placement: Placement
    moving: Mapping[Place, MovingPartition]
    named: frozenset[int]
    """All brokers that have a replica."""

    @property
    def offline(self) -> frozenset[int]:
        """Brokers that are down. Without a complete list, one that only replicas name may be down too."""
        down = {broker_id for broker_id, is_alive in self.alive.items() if not is_alive}
        if not self.is_complete:
            down |= self.named - self.alive.keys()
        return frozenset(down)


async def look(kafka: BalancerKafka, timeout: float) -> Look:
    """Look at brokers, partitions and reassignments."""
    registrations, placement, moving = await asyncio.gather(
        kafka.brokers.registrations(timeout),
        kafka.placement.placement(timeout),
        kafka.reassignments.list_reassignments(timeout),
    )
    by_place = {(entry.topic, entry.partition): entry for entry in moving}
    named: set[int] = set()
    for entry in placement.partitions.values():
        await time_slice()
        named.update(entry.replicas)
    return Look(registrations.alive, registrations.is_complete, placement, by_place, frozenset(named))


async def take_snapshot(
    kafka: BalancerKafka,
    seen: Look,
    *,
    leaving: Collection[int],
    excluded: Collection[int],
    offline_since_ms: Mapping[int, int],
    timeout: float,
) -> Snapshot:
    """Return the snapshot of what was seen, with the sizes of replicas and the limits of disks.

    ``leaving`` are the brokers that are to be removed, ``excluded`` those that get no new replicas besides the cordoned
    ones, and ``offline_since_ms`` since when (Unix ms) brokers are down.
    """
    live = [broker_id for broker_id, is_alive in seen.alive.items() if is_alive]
    seconds = timeout * _SHARE
    disks, cordoned = await asyncio.gather(kafka.placement.disks(live, seconds), _cordoned(kafka, live, seconds))
    now_ms = round(time.time() * 1000)

    def brokers() -> Iterator[Broker]:
        for broker_id in live:
            known = disks.get(broker_id)
            yield Broker(
                broker_id,
                seen.placement.racks.get(broker_id),
                None if known is None else known.total_bytes,
                None if known is None else known.usable_bytes,
                # A broker that does not answer gets nothing.
                is_excluded=broker_id in excluded or broker_id in cordoned or known is None,
                is_leaving=broker_id in leaving,
            )
        for broker_id in seen.offline:
            since = offline_since_ms.get(broker_id, now_ms)
            yield Broker(broker_id, is_leaving=broker_id in leaving, offline_ms=max(0, now_ms - since))

    sizes = await _sizes(disks)

    def partition(item: tuple[Place, PlacedPartition]) -> Partition:
        place, entry = item
        moving = seen.moving.get(place)
        return Partition(
            *place,
            entry.replicas,
            entry.leader,
            sizes.get(place, 0),
            () if moving is None else tuple(moving.adding_replicas),
            () if moving is None else tuple(moving.removing_replicas),
        )

    return Snapshot(tuple(brokers()), tuple(await in_slices(partition, seen.placement.partitions.items())))


async def _cordoned(kafka: BalancerKafka, broker_ids: Collection[int], timeout: float) -> set[int]:
    try:
        found = await kafka.cordons.cordons(broker_ids, timeout)
    except UnsupportedVersion:
        return set()
    return {broker_id for broker_id, cordon in found.items() if cordon.holds}


async def _sizes(disks: Mapping[int, Disks]) -> dict[Place, int]:
    """Return the size of the largest replica of each partition."""
    found: defaultdict[Place, int] = defaultdict(int)
    for known in disks.values():
        for place, size in known.sizes.items():
            found[place] = max(found[place], size)
            await time_slice()
    return found
