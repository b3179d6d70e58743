"""Messages from the client that are not converted to records yet."""

import asyncio
from uuid import uuid4

from confluent_kafka import Producer

from conftest import TopicFactory
from kafka_facade.kafka.engine import Engine
from kafka_facade_devstack.background import BackgroundStack

# The client is asked for 1, 2, 4, 8, 8 and then 8 messages at once: the last ones are those with many headers.
SMALL, HEAVY = 23, 8
HEADERS = 90_000
FEW = 3


async def test_a_new_subscription_leaves_the_loop_to_others_while_it_converts_them(
    engine: Engine, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number in range(SMALL + HEAVY):
        headers: list[tuple[str, str | bytes | None]] = [("h", b"")] * HEADERS if number >= SMALL else []
        producer.produce(name, b"%d" % number, headers=headers, partition=0)
    await asyncio.to_thread(producer.flush, 30)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    heavy = 0
    async with asyncio.timeout(120):
        while heavy < FEW:
            consumer = await engine.create(
                group=f"group-{uuid4()}", auto_offset_reset="earliest", auto_commit=False, overrides={}
            )
            await consumer.subscribe([name])
            # What has been fetched comes together.
            await asyncio.sleep(3)
            await consumer.poll(SMALL + HEAVY, 0.1)
            heavy = sum((message.offset() or 0) >= SMALL for message in vars(vars(consumer)["_incoming"])["_left"])
            task = asyncio.create_task(others())
            await asyncio.sleep(0)
            before = turns
            await consumer.subscribe([name])
            taken = turns - before
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await consumer.close(10)
    # The subscription may follow the last one at once.
    assert taken >= heavy - 1
