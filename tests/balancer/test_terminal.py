"""`kafka-facade tasks`: tasks in a terminal, in a pipe, and as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from balancer.conftest import PlacedTopic
from balancer.removing import NewCluster, fill, hold
from kafka_facade.core.balancer.records import new_task
from kafka_facade.core.balancer.steps import MOVING_AWAY, REMOVE_BROKER
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.state.records import encode
from kafka_facade.terminal.tasks import showing
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 180
_SLOW = {"confluent.balancer.throttle.bytes.per.second": "1000000", "balancer.concurrent.moves": "1"}
_KILOBYTES = 4000
_PROGRAM = str(Path(sys.executable).with_name("kafka-facade"))
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Ended(NamedTuple):
    """What a command has printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def _arguments(gateway: str, options: tuple[str, ...]) -> list[str]:
    return [_PROGRAM, "tasks", "--gateway", gateway, *options]


async def _run(gateway: str, *options: str) -> Ended:
    """The command, with its output in pipes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*_arguments(gateway, options), stdout=pipe, stderr=pipe)
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def _run_in_terminal(gateway: str, *options: str, columns: int = 80) -> Ended:
    """The command in a terminal of this width."""
    ours, theirs = os.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"}
    try:
        process = await asyncio.create_subprocess_exec(
            *_arguments(gateway, options), stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
    finally:
        os.close(theirs)

    async with asyncio.timeout(_SECONDS):
        shown = await asyncio.to_thread(_read, ours)
        code = await process.wait()
    os.close(ours)
    return Ended(code, shown.decode(), "")


def _read(terminal: int) -> bytes:
    """All that is written to a terminal until its other end is closed."""
    found = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            return found
        if not part:
            return found
        found += part


async def test_a_removal_is_followed(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [2, 4], [4, 3], [1, 4]])
    await fill(four_brokers, topic, 4, _KILOBYTES)
    cluster = await new_cluster(**_SLOW)
    address = cluster.gateway.grpc
    assert await _run(address) == Ended(0, "There are no tasks.\n", "")
    assert await _run(address, "--json") == Ended(0, "[]\n", "")
    await cluster.remove(4, should_shutdown=False)
    follow = ("--follow", "4")
    plain, documents, wide, narrow = await asyncio.gather(
        _run(address, *follow),
        _run(address, *follow, "--json"),
        _run_in_terminal(address, *follow),
        _run_in_terminal(address, *follow, columns=40),
    )
    assert (plain.code, plain.err) == (0, "")
    assert all(line.startswith("remove-broker 4: ") for line in plain.lines)
    assert all(before != after for before, after in pairwise(plain.lines))
    moving = [line for line in plain.lines if re.search(r"moving replicas, \d+/\d+ partitions, .*left, .*/s, ", line)]
    assert moving, plain.out
    assert re.fullmatch(r"remove-broker 4: done, (\d+)/\1 partitions, ([\d.]+ MiB) of \2", plain.lines[-1])

    assert (documents.code, documents.err) == (0, "")
    found = [json.loads(line) for line in documents.lines]
    assert found[-1]["partitions_moved"] == found[-1]["partitions_total"] >= 4
    task = await cluster.task(4)
    assert {name: found[-1]["task"][name] for name in ("broker_id", "task_status", "sub_task_statuses")} == {
        name: task[name] for name in ("broker_id", "task_status", "sub_task_statuses")
    }

    for shown, columns in ((wide, 80), (narrow, 40)):
        assert shown.code == 0, shown.out
        bars = [_ESCAPE.sub("", bar).rstrip() for bar in re.split(r"[\r\n]+", shown.out)]
        bars = [bar for bar in bars if bar]
        assert all(bar.startswith("remove-broker 4") for bar in bars)
        assert max(map(len, bars)) <= columns, bars
        shares = [int(percent) for bar in bars for percent in re.findall(r"(\d+)%", bar)]
        assert shares[0] == 0
        assert shares[-1] == 100
        assert [share for share in shares if 0 < share < 100], bars
    assert re.search(r"#+-+\]\s+\d+%\s+\d+/\d+ partitions, \d+ s left", _ESCAPE.sub("", wide.out))
    assert re.search(r"100%\s+done, ", _ESCAPE.sub("", wide.out))

    listed = await _run(address)
    head, row = listed.lines
    assert head.split() == ["BROKER", "TYPE", "STATUS", "EXCLUSION", "REPLICAS", "SHUTDOWN", "UPDATED", "MESSAGE"]
    assert row.split()[:6] == ["4", "remove-broker", "SUCCESS", "EXCLUDED", "COMPLETED", "CANCELED"]
    assert await _run(address, "--type", "add-broker") == Ended(0, "There are no tasks.\n", "")
    assert [entry["broker_id"] for entry in json.loads((await _run(address, "--json")).out)] == [4]


def _document(moved: int, total: int, status: str) -> dict[str, Any]:
    steps = {"partition_reassignment_status": "IN_PROGRESS"}
    task = {"broker_id": 4, "task_type": "remove-broker", "task_status": status, "sub_task_statuses": steps}
    counts = {"partitions_total": total, "partitions_moved": moved, "bytes_total": total, "bytes_moved": moved}
    return counts | {"task": task}


def test_the_bar_goes_back_when_the_totals_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    reading = threading.Thread(target=lambda: found.append(_read(ours)))
    found: list[bytes] = []
    reading.start()
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with showing(_document(0, 0, "IN_PROGRESS")["task"], as_json=False) as show:
            for counts in ((5, 10), (5, 20), (20, 20), (20, 80)):
                show(_document(*counts, "IN_PROGRESS"))
            show(_document(20, 200, "FAILED"))
    reading.join(_SECONDS)
    os.close(ours)
    shown = found[0].decode()
    assert re.findall(r"(\d+)%", shown) == ["0", "50", "25", "100", "25", "10"]
    assert re.search(r"10%\s+failed", shown)


async def test_a_task_that_waits_and_its_message(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.remove(4)
    following = [
        asyncio.create_task(_run(cluster.gateway.grpc, "--follow", "4")),
        asyncio.create_task(_run_in_terminal(cluster.gateway.grpc, "--follow", "4")),
    ]
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
    await asyncio.sleep(5)
    assert not any(task.done() for task in following)
    await four_brokers.stop_broker(3)
    for ended in await asyncio.gather(*following):
        assert ended.code == 0, ended
        assert "The replicas have moved. Stop broker 4 now." in ended.out
        assert "waiting for the broker to be stopped" in ended.out


async def test_a_task_that_fails(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    topic = await placed([[4, 1]])
    cluster = await new_cluster(**{"confluent.balancer.exclude.topic.names": topic})
    await cluster.remove(4)
    address = cluster.gateway.grpc
    for ended in (await _run(address, "--follow", "4"), await _run_in_terminal(address, "--follow", "4")):
        assert ended.code == 1
        assert "failed" in ended.out
        assert re.search(rf"topic {topic} can't be moved.* \(error 10006\)", ended.out, re.DOTALL)
    documents = await _run(address, "--follow", "4", "--json")
    assert documents.code == 1
    assert json.loads(documents.lines[-1])["task"]["error_code"] == 10006


async def test_the_gateway_restarts_meanwhile(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, kafka: KafkaPorts
) -> None:
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster()
    gateway = cluster.gateway
    await cluster.remove(4, should_shutdown=False)
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "IN_PROGRESS", "PENDING")
    following = asyncio.create_task(_run(gateway.grpc, "--follow", "4"))
    await asyncio.sleep(5)
    await four_brokers.call(gateway.stop())
    await four_brokers.call(gateway.start())
    await hold(kafka, None)
    ended = await following
    assert ended.code == 0, ended
    assert ended.err == "kafka-facade: The gateway is away. Trying again ...\n"
    assert ended.lines[-1].startswith("remove-broker 4: done")


async def test_another_task_begins_while_the_gateway_is_away(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, kafka: KafkaPorts
) -> None:
    """It is not shown as if it were the same."""
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster()
    gateway = cluster.gateway
    await cluster.remove(4, should_shutdown=False)
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "IN_PROGRESS", "PENDING")
    names = [entry["topic_name"] for entry in (await cluster.get("/topics"))["data"]]
    [state] = [name for name in names if name.startswith("state-")]
    following = asyncio.create_task(_run(gateway.grpc, "--follow", "4"))
    await asyncio.sleep(3)
    await four_brokers.call(gateway.stop())
    task = new_task(4, REMOVE_BROKER, MOVING_AWAY, should_shutdown=False)
    producer = Producer({"bootstrap.servers": four_brokers.bootstrap_servers})
    producer.produce(state, encode(task), key=task.key, partition=0)
    assert await asyncio.to_thread(producer.flush, _SECONDS) == 0
    await four_brokers.call(gateway.start())
    ended = await following
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "kafka-facade: The gateway is away. Trying again ...",
        "kafka-facade: Broker 4 has another task remove-broker now.",
    ]


async def test_without_a_task_or_a_gateway(new_cluster: NewCluster) -> None:
    address = (await new_cluster()).gateway.grpc
    for options, message in (
        (["--follow", "4"], "Broker 4 has no task."),
        (["--follow", "77", "--type", "add-broker"], "Broker 77 has no task add-broker."),
    ):
        assert await _run(address, *options) == Ended(1, "", f"kafka-facade: {message}\n")
    unknown = await _run(address, "--cluster", "other")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("kafka-facade: ")
    assert "can't be reached" not in unknown.err
    for options in ([], ["--follow", "4"], ["--json"]):
        away = await _run("127.0.0.1:1", *options)
        assert (away.code, away.out) == (1, "")
        assert away.err.startswith("kafka-facade: The gateway at 127.0.0.1:1 can't be reached: "), away
        assert "Traceback" not in away.err
    # Connections succeed, and nothing answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = await _run(f"127.0.0.1:{server.getsockname()[1]}", "--timeout", "2")
    assert silent.code == 1
    assert "can't be reached" in silent.err


@pytest.mark.parametrize("options", [["--follow", "four"], ["--follow", "-1"], ["--type", "paint-broker"]])
async def test_bad_options(options: list[str]) -> None:
    ended = await _run("127.0.0.1:1", *options)
    assert ended.code == 2
    assert "Usage: kafka-facade tasks" in ended.err
