"""Brokers whose log directories are cordoned, so that they get no new replicas (KIP-1066).

librdkafka has no request that tells whether directories are cordoned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.exclusions.port import CORDON_ALL, CORDON_CONFIG, Cordon
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

# The first version that tells it.
_LOG_DIRS_VERSION: Final = 5
_BROKER: Final = 4


class Cordons:
    """The port over one cluster."""

    def __init__(self, protocol: ProtocolClient) -> None:
        self._protocol = protocol

    async def cordons(self, broker_ids: Iterable[int], timeout: float) -> dict[int, Cordon]:
        """Ask each broker for its config and its log directories; see :meth:`CordonPort.cordons`."""
        asked = list(broker_ids)
        answers = await asyncio.gather(*(self._ask(broker_id, timeout) for broker_id in asked))
        found: dict[int, Cordon] = {}
        for broker_id, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Cordon):
                found[broker_id] = answer
            elif not answer.codes.retriable:
                raise answer
        return found

    async def _ask(self, broker_id: int, timeout: float) -> Cordon | FacadeError:
        def configs(messages: Any) -> Any:
            resource = (_BROKER, str(broker_id), [CORDON_CONFIG])
            return messages.DescribeConfigsRequest(resources=[resource], min_version=1)

        try:
            described, directories = await asyncio.gather(
                self._protocol.send(configs, timeout, node=broker_id),
                self._protocol.send(_log_dirs, timeout, node=broker_id),
            )
        except FacadeError as error:
            return error
        [config] = described.results
        if code := config.error_code or directories.error_code:
            return from_code(code, None)
        return Cordon(
            is_set=any(entry.value == CORDON_ALL for entry in config.configs),
            # Of a directory that has failed the broker does not know it.
            is_reported=bool(directories.results)
            and all(entry.is_cordoned for entry in directories.results if not entry.error_code),
        )


def _log_dirs(messages: Any) -> Any:
    """Ask for the directories without what is in them."""
    return messages.DescribeLogDirsRequest(topics=[], min_version=_LOG_DIRS_VERSION)
