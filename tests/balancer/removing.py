"""Gateways with a balancer on four brokers, and removals through them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from balancer.waiting import until
from kafka_facade.core.balancer.snapshots import look
from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.reassignments.port import Place
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

NewGateway = Callable[..., Awaitable[Gateway]]
NewCluster = Callable[..., Awaitable["Cluster"]]
THROTTLES = tuple(f"{role}.replication.throttled" for role in ("leader", "follower"))
_AUDIT = "kafka_facade.audit: "
_SECONDS = 120
_RETRIABLE = 50003


class Cluster:
    """The cluster behind a gateway, through REST."""

    def __init__(self, gateway: Gateway, stack: BackgroundStack) -> None:
        self.gateway = gateway
        self.stack = stack
        self.http = httpx.AsyncClient(base_url=f"{gateway.rest}/v3/clusters/{stack.cluster_id}", timeout=60)

    async def until_leading(self) -> None:
        """Wait until the gateway leads, as it says in its log."""
        log = self.stack.stack.logs / f"gateway-{urlsplit(self.gateway.rest).port}.log"

        async def leads() -> bool:
            return "this worker leads" in await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")

        await until(leads)

    async def audited(self) -> list[Any]:
        """The lines of this gateway's audit log."""
        text = await asyncio.to_thread(self.gateway.child.log.read_text, encoding="utf-8", errors="replace")
        return [json.loads(line.partition(_AUDIT)[2]) for line in text.splitlines() if _AUDIT in line]

    async def audited_events(self, broker_id: int) -> list[str]:
        """What was done for the removal of a broker, in the order in which it was first done.

        Each line names the caller, and the task unless it is about the request or the exclusion.
        """
        lines = [line for line in await self.audited() if broker_id in line["brokers"]]
        assert {caller for line in lines for caller in line["callers"]} == {"User:ANONYMOUS"}
        named = [line for line in lines if line["event"] not in ("removal-asked", "exclusion-set", "exclusion-deleted")]
        [identifier] = {name for line in named for name in line["tasks"]}
        assert all(line["tasks"] == [identifier] for line in named)
        assert identifier.startswith(f"remove-broker/{broker_id}/")
        return list(dict.fromkeys(line["event"] for line in lines))

    async def get(self, path: str) -> Any:
        """The JSON of a path that must be there."""
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def remove(self, broker_id: int, *, should_shutdown: bool = True) -> None:
        """Begin to remove a broker; a leader may still have to be elected."""
        params = {} if should_shutdown else {"should_shutdown": "false"}
        answer = await self.http.delete(f"/brokers/{broker_id}", params=params)
        assert answer.status_code == 202, answer.text

    async def task(self, broker_id: int, task_type: str = "remove-broker") -> Any:
        """A task."""
        return await self.get(f"/brokers/{broker_id}/tasks/{task_type}")

    async def steps(self, broker_id: int) -> list[str]:
        """The status of a removal, and of its steps."""
        task = await self.task(broker_id)
        return [task["task_status"], *task["sub_task_statuses"].values()]

    async def until_steps(self, broker_id: int, *steps: str, seconds: float = _SECONDS) -> None:
        """Wait until a removal has this status and these of its steps."""
        seen: list[str] = []

        async def has_them() -> bool:
            answer = await self.http.get(f"/brokers/{broker_id}/tasks/remove-broker")
            if answer.json().get("error_code") == _RETRIABLE:
                # A broker has just gone.
                return False
            assert answer.status_code == 200, answer.text
            task = answer.json()
            seen[:] = [task["task_status"], *task["sub_task_statuses"].values()]
            return seen == list(steps)

        try:
            await until(has_them, seconds)
        except TimeoutError:
            raise AssertionError(f"the removal is {await self.task(broker_id)}") from None

    async def replicas(self, topic: str) -> dict[int, list[int]]:
        """The brokers of each partition of a topic."""
        partitions = (await self.get(f"/topics/{topic}/partitions"))["data"]
        numbers = [entry["partition_id"] for entry in partitions]
        found = await asyncio.gather(*(self.get(f"/topics/{topic}/partitions/{number}/replicas") for number in numbers))
        return {
            number: [entry["broker_id"] for entry in replicas["data"]]
            for number, replicas in zip(numbers, found, strict=True)
        }

    async def throttles(self, *topics: str) -> dict[str, str]:
        """All throttles that are set on brokers and on these topics."""
        found: dict[str, str] = {}
        for broker in (await self.get("/brokers"))["data"]:
            configs = (await self.get(f"/brokers/{broker['broker_id']}/configs"))["data"]
            found |= {f"{broker['broker_id']} {c['name']}": c["value"] for c in configs if _is_throttle(c)}
        for topic in topics:
            configs = (await self.get(f"/topics/{topic}/configs"))["data"]
            found |= {f"{topic} {c['name']}": c["value"] for c in configs if _is_throttle(c)}
        return found


def _is_throttle(config: Any) -> bool:
    return config["name"].startswith(THROTTLES) and not config["is_default"] and bool(config["value"])


class Writer:
    """Writes numbered records with acks=all until it is stopped, and knows which of them Kafka has acknowledged."""

    def __init__(self, stack: BackgroundStack, topic: str) -> None:
        self._servers = stack.bootstrap_servers
        self._topic = topic
        self._stop = threading.Event()
        self.acknowledged: set[int] = set()
        self.failed: list[str] = []

    async def __aenter__(self) -> Writer:
        self._thread = asyncio.create_task(asyncio.to_thread(self._write))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._thread

    def _write(self) -> None:
        producer = Producer({"bootstrap.servers": self._servers, "acks": "all", "enable.idempotence": True})
        number = 0
        while not self._stop.is_set():
            for _ in range(50):
                producer.produce(self._topic, str(number).encode().ljust(200), on_delivery=self._told)
                number += 1
            producer.poll(0.02)
        assert producer.flush(60) == 0

    def _told(self, error: Any, message: Message) -> None:
        if error is None:
            self.acknowledged.add(int(message.value() or b""))
        else:
            self.failed.append(str(error))

    async def lost(self, partitions: int) -> set[int]:
        """The records that were acknowledged and are not there."""
        return await asyncio.to_thread(self._lost, partitions)

    def _lost(self, partitions: int) -> set[int]:
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "reader"})
        places = [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in range(partitions)]
        left = {place.partition: consumer.get_watermark_offsets(place, timeout=60)[1] for place in places}
        consumer.assign(places)
        missing = set(self.acknowledged)
        at = dict.fromkeys(left, 0)
        while any(at[number] < end for number, end in left.items()):
            for message in consumer.consume(1000, timeout=5):
                if message.error() is None:
                    missing.discard(int(message.value() or b""))
                    at[message.partition() or 0] = (message.offset() or 0) + 1
        consumer.close()
        return missing


class Watch:
    """Looks for partitions that are under-replicated although they do not move; twice, since metadata lags behind."""

    def __init__(self, kafka: KafkaPorts) -> None:
        self._kafka = kafka
        self.looks = 0
        self.under_replicated: set[Place] = set()

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        before: set[Place] = set()
        while True:
            seen = await look(self._kafka, _SECONDS)
            partitions = seen.placement.partitions
            lacking = {place for place, entry in partitions.items() if set(entry.replicas) - entry.in_sync}
            self.under_replicated |= (lacking - seen.moving.keys()) & before
            before = lacking - seen.moving.keys()
            self.looks += 1
            await asyncio.sleep(0.2)


async def fill(stack: BackgroundStack, topic: str, partitions: int, kilobytes: int) -> None:
    """Write as much to each partition."""

    def write() -> None:
        producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "acks": "all"})
        for partition in range(partitions):
            for _ in range(kilobytes // 10):
                producer.produce(topic, os.urandom(10 * 1024), partition=partition)
            assert producer.flush(60) == 0

    await asyncio.to_thread(write)


async def hold(kafka: KafkaPorts, rate: str | None, brokers: Sequence[int] = (1, 2, 3, 4)) -> None:
    """Let brokers send replicas that move at a rate, as an operator would, or remove that rate."""
    operation = AlterOperation.DELETE if rate is None else AlterOperation.SET
    change = ConfigAlteration("leader.replication.throttled.rate", rate, operation)
    for broker_id in brokers:
        await kafka.configs.alter_broker_configs(broker_id, [change], False, _SECONDS)


async def until_moving(kafka: KafkaPorts, topic: str, partitions: int) -> None:
    """Wait until this many partitions of a topic move."""

    async def moves() -> bool:
        going = await kafka.reassignments.list_reassignments(_SECONDS)
        return sum(entry.topic == topic for entry in going) == partitions

    await until(moves)
