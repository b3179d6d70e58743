"""Unregistering a broker, on each face."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AclOperation

from denial import CLUSTER, denied
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.clusters.model import UnregisterBroker
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

_IDENTIFIER = "api.v3.brokers.unregister"
_SECONDS = 30


async def _live(rest: httpx.AsyncClient) -> list[int]:
    return [broker["broker_id"] for broker in (await rest.get("/brokers")).json()["data"]]


async def _unregister(face: Any, request: UnregisterBroker) -> Any:
    """Unregister a broker that has stopped, as soon as the cluster has noticed that."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                return await face.run(_IDENTIFIER, request)
            except FaceError as error:
                if error.codes != face.codes(errors.InvalidRequest) or "is running" not in error.message:
                    raise
            await asyncio.sleep(0.2)


async def test_a_stopped_broker(
    face_name: str, gateway_factory: GatewayFactory, three_brokers: BackgroundStack
) -> None:
    """It is gone then, and registers again when it starts."""
    gateway = await gateway_factory({}, on=three_brokers)
    face = FACES[face_name](gateway)
    cluster = three_brokers.cluster_id
    request = UnregisterBroker(cluster, 3)
    await three_brokers.stop_broker(2)
    found = await _unregister(face, request)
    if face_name != "graphql":
        assert found == {"cluster_id": cluster, "broker_id": 3}
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, request)
    assert caught.value.codes == face.codes(errors.BrokerNotRegistered)
    async with httpx.AsyncClient(base_url=f"{gateway.rest}/v3/clusters/{cluster}", timeout=_SECONDS) as rest:
        assert (await rest.get("/brokers/3/configs")).status_code == 404
        await three_brokers.start_broker(2)
        async with asyncio.timeout(_SECONDS):
            while await _live(rest) != [1, 2, 3]:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.2)
        with pytest.raises(FaceError) as caught:
            await face.run(_IDENTIFIER, request)
        assert caught.value.codes == face.codes(errors.InvalidRequest)
    await face.close()


async def test_a_running_broker_stays(face_name: str, gateway: Gateway, cluster: str) -> None:
    face = FACES[face_name](gateway)
    with pytest.raises(FaceError, match="Broker 1 is running; stop it first") as caught:
        await face.run(_IDENTIFIER, UnregisterBroker(cluster, 1))
    assert caught.value.codes == face.codes(errors.InvalidRequest)
    async with httpx.AsyncClient(base_url=f"{gateway.rest}/v3/clusters/{cluster}", timeout=_SECONDS) as rest:
        assert await _live(rest) == [1]
    await face.close()


@pytest.mark.parametrize("broker_id", [99, -1, 2**31 - 1, -(2**31)])
async def test_an_unknown_broker(face_name: str, gateway: Gateway, cluster: str, broker_id: int) -> None:
    face = FACES[face_name](gateway)
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, UnregisterBroker(cluster, broker_id))
    assert caught.value.codes == face.codes(errors.BrokerNotRegistered)
    await face.close()


async def test_another_cluster(face_name: str, gateway: Gateway) -> None:
    face = FACES[face_name](gateway)
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, UnregisterBroker("nope", 1))
    assert caught.value.codes == face.codes(errors.ClusterNotFound)
    await face.close()


@pytest.mark.parametrize("broker_id", ["x", "2147483648", "-2147483649", "1.5", "9" * 400])
async def test_what_is_no_id_on_rest(gateway: Gateway, cluster: str, broker_id: str) -> None:
    async with httpx.AsyncClient(timeout=_SECONDS) as rest:
        answer = await rest.post(f"{gateway.rest}/v3/clusters/{cluster}/brokers/{broker_id}:unregister")
    assert (answer.status_code, answer.json()["error_code"]) == (400, 400)


async def test_the_shape_on_rest(gateway_factory: GatewayFactory, three_brokers: BackgroundStack) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    cluster = three_brokers.cluster_id
    await three_brokers.kill_broker(0)
    async with httpx.AsyncClient(timeout=_SECONDS) as rest, asyncio.timeout(_SECONDS):
        answer = None
        while answer is None or answer.status_code == 400:
            await asyncio.sleep(0.2)
            answer = await rest.post(f"{gateway.rest}/v3/clusters/{cluster}/brokers/1:unregister")
        assert (answer.status_code, answer.json()) == (202, {"cluster_id": cluster, "broker_id": 1})
        again = await rest.post(f"{gateway.rest}/v3/clusters/{cluster}/brokers/1:unregister")
        message = "The given broker ID was not registered in the cluster."
        assert (again.status_code, again.json()) == (404, {"error_code": 404102, "message": message})


async def test_one_who_may_not_alter_the_cluster(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    await three_brokers.stop_broker(2)
    async with denied(three_brokers, (*CLUSTER, AclOperation.ALTER)):
        for make in FACES.values():
            face = make(gateway)
            with pytest.raises(FaceError) as caught:
                await _unregister(face, UnregisterBroker(three_brokers.cluster_id, 3))
            assert caught.value.codes == face.codes(errors.KafkaAuthorizationFailed)
            await face.close()
