"""The config of Kafka that keeps new replicas away from a broker (``cordoned.log.dirs``, KIP-1066)."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, UnsupportedVersion
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.exclusions.port import CORDON_ALL, CORDON_CONFIG, ExclusionKafka

_LOOK_SECONDS: Final = 0.05
_VISIBLE_SECONDS: Final = 3.0
# Part of Kafka's message about a config that needs a later version of the cluster's metadata.
_UPGRADE: Final = "metadata.version"

_CHANGES: Final = {
    ExclusionChange.SET: ConfigAlteration(CORDON_CONFIG, CORDON_ALL),
    ExclusionChange.DELETE: ConfigAlteration(CORDON_CONFIG, operation=AlterOperation.DELETE),
}


async def check_right(kafka: ExclusionKafka, broker_id: int, change: ExclusionChange, timeout: float) -> None:
    """Raise the error with which Kafka would reject a change by the owner of these clients.

    Raises UnsupportedVersion if the cluster has not been upgraded yet: its brokers know the config, but reject it.
    """
    try:
        await kafka.configs.alter_broker_configs(broker_id, [_CHANGES[change]], True, timeout)
    except InvalidKafkaRequest as error:
        if _UPGRADE in error.message:
            raise UnsupportedVersion(error.message) from None
        raise


async def cordon(kafka: ExclusionKafka, broker_id: int, change: ExclusionChange, timeout: float) -> bool:
    """Cordon or uncordon a live broker; return whether it has done so in time.

    Raises InvalidKafkaRequest if a broker stays cordoned by its properties file, and other errors of Kafka that are not
    retriable.
    """
    deadline = time.monotonic() + timeout
    try:
        await kafka.configs.alter_broker_configs(broker_id, [_CHANGES[change]], False, timeout)
    except FacadeError as error:
        if error.codes.retriable:
            return False
        raise
    until = min(deadline, time.monotonic() + _VISIBLE_SECONDS)
    found = None
    while (left := until - time.monotonic()) > 0:
        # The last look may have too little time for an answer.
        found = (await kafka.cordons.cordons([broker_id], left)).get(broker_id, found)
        if found is not None and (found.is_reported if change is ExclusionChange.SET else not found.holds):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    if found is None:
        return False
    if change is ExclusionChange.DELETE:
        raise InvalidKafkaRequest(f"Broker {broker_id} stays excluded by {CORDON_CONFIG} in its properties file.")
    return found.is_set
