"""Details of groups are an extra: a description goes without them where they can't be had."""

import logging
from typing import Any

import pytest

from kafka_facade.core.ports import GroupDescription, MemberDescription
from kafka_facade.core.resources import ConsumerGroupState, ConsumerGroupType
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.group_details import GroupDetailsClient
from kafka_facade.kafka.protocol import ProtocolClient


@pytest.mark.parametrize(
    "config",
    [
        {"bootstrap.servers": "127.0.0.1:1"},
        {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"},
    ],
)
async def test_a_failure_is_logged_once_and_leaves_no_details(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    members = [MemberDescription("m", None, "c", [])]
    state, kind = ConsumerGroupState.UNKNOWN, ConsumerGroupType.CONSUMER
    group = GroupDescription("g", False, "uniform", state, kind, False, 1, members)
    blocking = Blocking("test", 2)
    client = ProtocolClient(config, blocking)
    details = GroupDetailsClient(client)
    with caplog.at_level(logging.WARNING, logger="kafka_facade.kafka"):
        for _ in range(2):
            assert await details.details([group], 2) == {}
    assert len([record for record in caplog.records if "may be unknown" in record.message]) == 1
    await client.close()
    blocking.close()
