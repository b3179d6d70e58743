from collections.abc import Awaitable, Callable

import httpx

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway


async def test_all_three_faces_answer(gateway: Gateway) -> None:
    assert await gateway.answers()


async def test_a_gateway_with_settings_of_its_own_serves_three_brokers(
    gateway_factory: Callable[..., Awaitable[Gateway]], three_brokers: BackgroundStack
) -> None:
    gateway = await gateway_factory({"shutdown.timeout.ms": "5000"}, on=three_brokers)
    async with httpx.AsyncClient(base_url=gateway.rest, trust_env=False) as client:
        answer = await client.get(f"/v3/clusters/{three_brokers.cluster_id}/brokers")
    assert {broker["broker_id"] for broker in answer.json()["data"]} == {1, 2, 3}
