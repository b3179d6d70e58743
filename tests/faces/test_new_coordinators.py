"""Consumer instances in a cluster without group coordinators wait for the coordinator, then read."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from conftest import TopicFactory
from faces.clients import Data, FaceClient, Produced
from faces.conftest import FACES
from kafka_facade_devstack.background import BackgroundStack

pytestmark = pytest.mark.xdist_group("new_coordinators")

_OFFSETS = "__consumer_offsets"
_SECONDS = 40
# So many groups begin, one after another: they meet their coordinator in all states that it has on its way.
_GROUPS = 24
_PAUSE_SECONDS = 0.02


@pytest.fixture(scope="module")
def fresh_stack() -> Iterator[BackgroundStack]:
    background = BackgroundStack(1)
    background.start()
    yield background
    background.stop()


@pytest.fixture
async def new_face(fresh_stack: BackgroundStack, face_name: str) -> AsyncIterator[FaceClient]:
    gateway = await fresh_stack.start_gateway({})
    client = FACES[face_name](gateway)
    # The gateway has looked for a coordinator as it started, and so had Kafka make this topic.
    await asyncio.to_thread(_delete_offsets, fresh_stack.bootstrap_servers)
    yield client
    await client.close()
    await fresh_stack.stop_gateway(gateway)


def _delete_offsets(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    try:
        admin.delete_topics([_OFFSETS])[_OFFSETS].result(_SECONDS)
    except KafkaException as error:
        if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
            raise


async def test_the_first_instances_of_a_new_cluster_can_read(
    new_face: FaceClient, fresh_stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(on=fresh_stack)
    await new_face.produce(fresh_stack.cluster_id, name, Produced(Data("BINARY", b"one")))
    groups = [f"g-{uuid.uuid4()}" for _ in range(_GROUPS)]

    async def read(number: int, group: str) -> list[int]:
        await asyncio.sleep(number * _PAUSE_SECONDS)
        await new_face.create_consumer(group, "i", auto_offset_reset="earliest")
        await new_face.assign(group, "i", [(name, 0)])
        found: list[int] = []
        while not found:
            found += [offset for offset, _, _ in await new_face.fetch(group, "i", "BINARY", 1000)]
        return found

    async with asyncio.timeout(_SECONDS):
        assert await asyncio.gather(*(read(*each) for each in enumerate(groups))) == [[0]] * _GROUPS
    for group in groups:
        await new_face.delete_consumer(group, "i")
