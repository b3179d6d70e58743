"""The audit log names the callers of tasks, and says so if it does not know them."""

from __future__ import annotations

import json

import msgspec
import pytest

from kafka_facade.core.balancer.records import TaskRecord, new_task
from kafka_facade.core.balancer.steps import ADD_BROKER, ADDITION, REMOVAL, REMOVE_BROKER, TaskEvent
from kafka_facade.core.balancer.trail import note_tasks
from kafka_facade.core.state.records import encode


def _last(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    [record] = [record for record in caplog.records if record.name == "kafka_facade.audit"]
    found: dict[str, object] = json.loads(record.getMessage())
    return found


def test_a_task_that_an_older_gateway_has_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    written = json.loads(encode(new_task(4, REMOVE_BROKER, REMOVAL, should_shutdown=True, caller="User:alice")))
    del written["caller"]
    note_tasks([msgspec.json.decode(json.dumps(written), type=TaskRecord).after(TaskEvent.TAKEN)])
    found = _last(caplog)
    assert (found["event"], found["callers"], found["brokers"]) == ("task-begun", ["unknown"], [4])


def test_a_task_that_no_caller_has_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    note_tasks([new_task(4, ADD_BROKER, ADDITION, should_shutdown=False).after(TaskEvent.DONE)])
    found = _last(caplog)
    assert (found["event"], found["outcome"], found["callers"]) == ("task-completed", "SUCCESS", ["kafka-facade"])


def test_the_name_of_a_caller_adds_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    note_tasks([new_task(4, REMOVE_BROKER, REMOVAL, should_shutdown=True, caller='User:a"\n{"event": "x"}')])
    assert _last(caplog)["callers"] == ['User:a"\n{"event": "x"}']
    assert "\n" not in caplog.messages[-1]
