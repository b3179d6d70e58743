"""A family that keeps numbers in the state, and a worker in a process of its own that takes part in the election."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import ClassVar

import msgspec
from msgspec import Struct

from engines import LoneEngine
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.state.handlers import ChangeRequest, Done, Leader
from kafka_facade.core.state.records import StateRecord, key_of
from kafka_facade.core.state.state import State
from kafka_facade.kafka.options import KafkaOptions

ADD = "numbers.add"


class Number(StateRecord, frozen=True):
    """A number, and the node that changed it last."""

    prefix: ClassVar[str] = "number"
    value: int
    by: str = ""


class Add(Struct):
    """Adds to a number."""

    name: str
    amount: int


class Sum(Struct):
    """The number then."""

    value: int


def counting(state: State, by: str = "") -> State:
    """Serve numbers on a state that is not started yet."""

    async def add(leader: Leader, request: ChangeRequest) -> Done:
        wanted = msgspec.json.decode(request.body, type=Add)
        if wanted.amount < 0:
            raise InvalidRequest("Numbers only grow.")
        known = leader.view.get(Number, wanted.name)
        value = wanted.amount + (0 if known is None else known.value)
        return Done(Sum(value), {key_of(Number, wanted.name): Number(value=value, by=by)})

    state.handlers.records.append(Number)
    state.handlers.changes[ADD] = add
    return state


async def add(state: State, name: str, amount: int = 1, timeout: float = 30) -> int:
    """Add to a number, and return the sum."""
    return (await state.change(ADD, Add(name, amount), Sum, timeout)).value


async def value(state: State, name: str, timeout: float = 30) -> int | None:
    """The number as of now."""
    found = (await state.view(timeout)).get(Number, name)
    return None if found is None else found.value


async def _main(bootstrap_servers: str, topic: str, by: str) -> None:
    """Serve until stdin ends; each line is the name of a number to add 1 to."""
    engine = await LoneEngine.start(KafkaOptions(bootstrap_servers))
    state = counting(State(engine.ports(), topic), by)
    await state.start()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps("ready"), flush=True)  # noqa: T201
    while line := await reader.readline():
        try:
            said: object = await add(state, line.decode().strip())
        except Exception as error:
            said = str(error)
        print(json.dumps(said), flush=True)  # noqa: T201
    await state.close()
    await engine.close(5)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(*sys.argv[1:]))
