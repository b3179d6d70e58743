"""The brokers that are registered in a cluster, and removal from the registry (KIP-631, KIP-1073).

librdkafka tells only live brokers, and has no request to unregister one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from kafka_facade.core.clusters.port import Registrations
from kafka_facade.core.errors import BrokerNotRegistered, FacadeError, KafkaTimeout, UnsupportedVersion
from kafka_facade.kafka.admin import clients
from kafka_facade.kafka.admin.clients import Client
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.rounds import is_passing

_PAUSE_SECONDS: Final = 0.1


class Brokers:
    """The broker port over one cluster."""

    def __init__(self, admin: Admin, protocol: ProtocolClient) -> None:
        self._admin = admin
        self._protocol = protocol
        self._tells_fenced = True

    async def registrations(self, timeout: float) -> Registrations:
        """The brokers, and whether each of them is alive; Kafka before 4.0 lists only live ones (KIP-1073)."""
        if self._tells_fenced and clients.fenced_brokers(self._protocol) is Client.KAFKA_PYTHON:
            try:
                answer = await self._protocol.send(
                    lambda messages: messages.DescribeClusterRequest(include_fenced_brokers=True, min_version=2),
                    timeout,
                )
            except UnsupportedVersion:
                self._tells_fenced = False
            else:
                if answer.error_code:
                    raise from_code(answer.error_code, answer.error_message)
                alive = {broker.broker_id: not broker.is_fenced for broker in answer.brokers}
                return Registrations(answer.cluster_id, alive, is_complete=True)
        cluster, live = await self._admin.describe_cluster(timeout)
        alive = dict.fromkeys((broker.broker_id for broker in live), True)
        return Registrations(cluster.cluster_id, alive, is_complete=False)

    async def unregister(self, broker_id: int, timeout: float) -> None:
        """Remove a broker from the registry; BrokerNotRegistered, UnsupportedVersion.

        A request without an answer may have been executed. So the registry is read before it is sent again, and a
        broker that is gone then counts as removed.
        """
        deadline = time.monotonic() + timeout
        lost = False
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = await self._protocol.send(lambda _: _request(broker_id), left, again=False)
                failure = from_code(answer.error_code, answer.error_message) if answer.error_code else None
            except FacadeError as error:
                failure = error
                lost = True
            # It is not registered any more if a lost request has been executed meanwhile.
            if failure is None or (lost and isinstance(failure, BrokerNotRegistered)):
                return
            if isinstance(failure, BrokerNotRegistered):
                # Kafka's message is another one than the reference's.
                raise BrokerNotRegistered
            if not is_passing(failure):
                raise failure
            if lost and await self._is_gone(broker_id, deadline):
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise KafkaTimeout

    async def _is_gone(self, broker_id: int, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        found = await self.registrations(left)
        return found.is_complete and broker_id not in found.alive


def _request(broker_id: int) -> Any:
    from kafka_facade.kafka.protocol.messages import UnregisterBrokerRequest

    return UnregisterBrokerRequest(broker_id=broker_id)
