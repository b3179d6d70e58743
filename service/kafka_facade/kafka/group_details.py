"""What librdkafka's descriptions of groups of the ``consumer`` protocol (KIP-848) lack, through kafka-python.

These are the states that only this protocol has, and which protocol each member speaks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.ports import GroupDescription
from kafka_facade.core.resources import ConsumerGroupState, ConsumerGroupType
from kafka_facade.kafka.protocol import ProtocolClient

logger = logging.getLogger("kafka_facade.kafka")

_UPGRADED = 1
# Descriptions are of use without these details: they aren't waited for any longer (s).
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """``is_mixed``: a member, at least, isn't known to speak the newer protocol."""

    state: ConsumerGroupState
    is_mixed: bool


class GroupDetailsClient:
    """Asks coordinators for details, one request for all the groups that each of them keeps."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client
        self._failures: set[str] = set()

    async def details(self, groups: Sequence[GroupDescription], timeout: float) -> Mapping[str, GroupDetails]:
        """By id, the details of those of the groups that have any and could be asked for; never raises."""
        by_coordinator: dict[int, list[str]] = defaultdict(list)
        for group in groups:
            if group.type is ConsumerGroupType.CONSUMER and group.members and group.coordinator_id is not None:
                by_coordinator[group.coordinator_id].append(group.consumer_group_id)
        asked = (self._ask(node, group_ids, timeout) for node, group_ids in by_coordinator.items())
        found: dict[str, GroupDetails] = {}
        for answer in await asyncio.gather(*asked):
            found |= answer
        return found

    async def _ask(self, node: int, group_ids: list[str], timeout: float) -> dict[str, GroupDetails]:
        def build(_admin: Any) -> Any:
            from kafka_facade.kafka.messages import ConsumerGroupDescribeRequest

            return ConsumerGroupDescribeRequest(group_ids=group_ids, include_authorized_operations=False)

        try:
            answer = await self._client.send(build, min(timeout, _PATIENCE_SECONDS), node=node)
        except FacadeError as error:
            if error.message not in self._failures:
                self._failures.add(error.message)
                logger.warning("states of consumer groups may be unknown: %s", error)
            return {}
        return {group.group_id: _details(group) for group in answer.groups if not group.error_code}


def _details(group: Any) -> GroupDetails:
    state = ConsumerGroupState.__members__.get(group.group_state.upper(), ConsumerGroupState.UNKNOWN)
    return GroupDetails(state, any(member.member_type != _UPGRADED for member in group.members))
