"""Records of the balancer in the state topic that make no sense, as another program may write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kafka_facade.core.balancer.records import RECORDS, TaskRecord, ThrottleRecord, new_task
from kafka_facade.core.balancer.steps import REMOVAL, REMOVE_BROKER
from kafka_facade.core.exclusions.keeper import ExclusionRecord
from kafka_facade.core.state.records import RecordDecoder, encode

_DECODER = RecordDecoder((*RECORDS, ExclusionRecord))
_TASK = msgspec.to_builtins(new_task(4, REMOVE_BROKER, REMOVAL, should_shutdown=True))
_EXCLUSION = {"v": 1, "change": "SET", "reason": "r"}


def _throttle(**ours: str) -> dict[str, Any]:
    return {"v": 1, "ours": ours}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task/4", _TASK),
        ("task/4/add-broker", _TASK),
        ("task/3/remove-broker", _TASK),
        (f"task/{2**31}/remove-broker", _TASK | {"broker_id": 2**31}),
        ("task/4/remove-broker", _TASK | {"exclusion": "ERROR"}),
        ("task/4/remove-broker", _TASK | {"exclusion": None}),
        ("throttle/broker/x", _throttle()),
        ("throttle/broker/04", _throttle()),
        ("throttle/4", _throttle()),
        ("throttle/broker/4", _throttle(**{"log.retention.ms": "1"})),
        ("throttle/topic/", _throttle()),
        ("throttle/topic/t", _throttle(**{"leader.replication.throttled.rate": "1"})),
        ("exclusion/03", _EXCLUSION),
        ("exclusion/\N{ARABIC-INDIC DIGIT THREE}", _EXCLUSION),
        ("exclusion/" + "9" * 5000, _EXCLUSION),
        ("exclusion/", _EXCLUSION),
    ],
)
def test_impossible_records(key: str, value: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="Impossible"):
        _DECODER.decode(key, msgspec.json.encode(value))


def test_possible_records() -> None:
    task = new_task(4, REMOVE_BROKER, REMOVAL, should_shutdown=True)
    assert _DECODER.decode(task.key, encode(task)) == task
    throttle = ThrottleRecord(ours={"leader.replication.throttled.rate": "1"})
    assert _DECODER.decode("throttle/broker/2147483647", encode(throttle)) == throttle
    throttle = ThrottleRecord(ours={"follower.replication.throttled.replicas": "0:1"})
    assert _DECODER.decode("throttle/topic/a.b", encode(throttle)) == throttle
    assert isinstance(_DECODER.decode("exclusion/0", msgspec.json.encode(_EXCLUSION)), ExclusionRecord)
    assert isinstance(_DECODER.decode("task/4/remove-broker", msgspec.json.encode(_TASK)), TaskRecord)
