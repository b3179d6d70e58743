"""Exclusions of brokers that are down or hang, and gateways that are killed, paused and restarted."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from exclusions.conftest import NewClient, NewGateway, OtherTool, RestClient, until
from kafka_facade_devstack.background import BackgroundStack


async def _lists(client: RestClient, *broker_ids: int) -> bool:
    return await client.listed() == list(broker_ids)


async def _lives(client: RestClient, *broker_ids: int) -> bool:
    return await client.live() == list(broker_ids)


async def test_a_broker_that_is_down(
    new_gateway: NewGateway, rest: NewClient, three_brokers: BackgroundStack, other_tool: OtherTool
) -> None:
    """It is excluded once it is back, also after it was unregistered meanwhile."""
    client = rest(await new_gateway())
    await client.changed("create", 2)
    await three_brokers.stop_broker(2)
    await until(lambda: _lives(client, 1, 2))
    await client.changed("create", 3)
    assert await client.listed() == [2, 3]
    assert (await client.http.post("/brokers/3:unregister")).status_code in (202, 404)
    await client.changed("delete", 2)
    await three_brokers.start_broker(2)
    await until(lambda: other_tool.has_cordoned(3))
    assert await client.listed() == [3]
    assert await other_tool.hosts() == {1, 2}
    await three_brokers.stop_broker(2)
    await until(lambda: _lives(client, 1, 2))
    await client.changed("delete", 3)
    assert await client.listed() == []
    await three_brokers.start_broker(2)

    async def has_uncordoned() -> bool:
        return not await other_tool.has_cordoned(3)

    await until(has_uncordoned)
    assert await client.listed() == []


async def test_a_broker_that_hangs(new_gateway: NewGateway, rest: NewClient, three_brokers: BackgroundStack) -> None:
    """Lists come in time, and its exclusion is wanted; the broker follows once it runs again."""
    client = rest(await new_gateway())
    await client.changed("create", 1)
    await three_brokers.pause_broker(2)
    began = time.monotonic()
    assert await client.listed() == [1]
    assert time.monotonic() - began < 15
    answer = await client.change("create", 3)
    assert answer.status_code in (201, 500), answer.text
    if answer.status_code == 500:
        assert answer.json()["error_code"] == 50003
    await three_brokers.resume_broker(2)

    async def is_excluded() -> bool:
        return (await client.change("create", 3)).status_code == 201

    await until(is_excluded)
    assert await client.listed() == [1, 3]


async def test_several_gateways_and_workers(new_gateway: NewGateway, rest: NewClient, other_tool: OtherTool) -> None:
    """Each of them knows at once what others have done, also if they begin at the same time."""
    clients = [rest(gateway) for gateway in await asyncio.gather(new_gateway(workers="2"), new_gateway())]
    answers = await asyncio.gather(clients[0].change("create", 1), clients[1].change("create", 2))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert [await client.listed() for client in clients] == [[1, 2], [1, 2]]
    for _ in range(3):
        for client in clients:
            await client.changed("delete", 1)
            assert [await other.listed() for other in clients] == [[2], [2]]
            assert (await client.change("delete", 1)).status_code == 404
            await client.changed("create", 1)
            assert [await other.listed() for other in clients] == [[1, 2], [1, 2]]
    assert await other_tool.hosts() == {3}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_gateway_that_leads_is_killed_or_paused(
    new_gateway: NewGateway, rest: NewClient, number: signal.Signals
) -> None:
    """Another one makes changes after some seconds, with all that was done; the paused one undoes nothing."""
    leader = await new_gateway()
    first = rest(leader)
    await first.changed("create", 1)
    second = rest(await new_gateway())
    assert await second.listed() == [1]
    leader.child.send(number)
    assert await second.listed() == [1]
    began = time.monotonic()
    await second.changed("create", 2)
    assert time.monotonic() - began < 25
    await second.changed("delete", 1)
    if number is signal.SIGSTOP:
        leader.child.send(signal.SIGCONT)
        await first.changed("create", 3)
        assert await first.listed() == [2, 3]
        # It has caught up in the background, had it believed to lead.
        await asyncio.sleep(6)
    else:
        await second.changed("create", 3)
    assert await second.listed() == [2, 3]


async def test_restarts_keep_exclusions(
    new_gateway: NewGateway, rest: NewClient, three_brokers: BackgroundStack
) -> None:
    gateway = await new_gateway()
    await rest(gateway).changed("create", 2)
    await three_brokers.stop_gateway(gateway)
    await three_brokers.stop_broker(1)
    await three_brokers.start_broker(1)
    assert await rest(await new_gateway()).listed() == [2]


async def test_a_broker_that_is_cordoned_by_its_properties_file(
    new_gateway: NewGateway, rest: NewClient, three_brokers: BackgroundStack
) -> None:
    """Its exclusion cannot be removed."""
    client = rest(await new_gateway())
    # Kafka cannot create its topic of transactions while a broker is cordoned.
    await client.changed("create", 1)
    await client.changed("delete", 1)
    file = three_brokers.stack._nodes[1]._config
    before = file.read_text()
    await three_brokers.stop_broker(1)
    try:
        file.write_text(f"{before}cordoned.log.dirs=*\n")
        await three_brokers.start_broker(1)
        await until(lambda: _lists(client, 2))
        answer = await client.change("delete", 2)
        assert answer.status_code == 400, answer.text
        [entry] = answer.json()["data"]
        assert entry["error_code"] == 40002
        assert entry["error_message"] == "Broker 2 stays excluded by cordoned.log.dirs in its properties file."
        assert await client.listed() == [2]
        await client.changed("create", 2)
        assert (await client.change("delete", 2)).status_code == 400
    finally:
        file.write_text(before)
        await three_brokers.stop_broker(1)
        await three_brokers.start_broker(1)


async def test_a_broker_that_another_tool_has_uncordoned(
    new_gateway: NewGateway, rest: NewClient, other_tool: OtherTool, three_brokers: BackgroundStack
) -> None:
    """It is excluded again: a leader looks at first, and each minute."""
    gateway = await new_gateway()
    await rest(gateway).changed("create", 2)
    await three_brokers.stop_gateway(gateway)
    await other_tool.cordon(2, None)
    client = rest(await new_gateway())
    assert await client.listed() == [2]
    await until(lambda: other_tool.has_cordoned(2), 40)
