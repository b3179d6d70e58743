"""Lags from committed and end offsets."""

import asyncio
import struct

from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.lags import lags_of, summary_of
from kafka_facade.core.groups.model import (
    ConsumerAssignments,
    ConsumerGroup,
    ConsumerGroupState,
    ConsumerGroupType,
    GroupMember,
)

_PLACES = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3))
_OFFSETS = st.dictionaries(_PLACES, st.integers(0, 2**62))


def _group(held: set[tuple[str, int]]) -> ConsumerGroup:
    partitions = AssignedPartitions((topic.encode(), struct.pack(">i", partition)) for topic, partition in held)

    async def assignments() -> ConsumerAssignments:
        return ConsumerAssignments(("c", "g", "m"), partitions)

    member = GroupMember("c", "g", "m", "i", "client", assignments)
    state, kind = ConsumerGroupState.STABLE, ConsumerGroupType.CLASSIC
    return ConsumerGroup("c", "g", False, "range", state, kind, False, 1, [member])


@given(committed=_OFFSETS, ends=_OFFSETS, held=st.sets(_PLACES))
def test_lags_and_their_summary(
    committed: dict[tuple[str, int], int], ends: dict[tuple[str, int], int], held: set[tuple[str, int]]
) -> None:
    lags = asyncio.run(lags_of(_group(held), committed, ends))
    assert {(lag.topic_name, lag.partition_id) for lag in lags} == committed.keys() & ends.keys()
    assert lags == sorted(lags, key=lambda lag: (-lag.lag, lag.topic_name, lag.partition_id))
    for lag in lags:
        place = (lag.topic_name, lag.partition_id)
        assert (lag.current_offset, lag.log_end_offset) == (committed[place], ends[place])
        assert lag.lag == max(0, ends[place] - committed[place])
        reader = ("m", "i", "client") if place in held else ("", None, "")
        assert (lag.consumer_id, lag.instance_id, lag.client_id) == reader
    summary = summary_of(lags)
    if not lags:
        assert summary is None
        return
    assert summary is not None
    assert summary.max_lag == max(lag.lag for lag in lags)
    assert summary.total_lag == sum(lag.lag for lag in lags)
    assert (summary.max_lag_topic_name, summary.max_lag_partition_id) == (lags[0].topic_name, lags[0].partition_id)
    assert summary.max_lag_consumer_id == lags[0].consumer_id
