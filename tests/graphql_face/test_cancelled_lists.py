"""An operation that is cancelled while its lists are completed leaves nothing behind."""

import asyncio
import gc
import warnings

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from kafka_facade.core.memory_budget import MemoryBudget
from kafka_facade.core.reservation import Reservation
from kafka_facade_graphql.context import Context, Memory
from kafka_facade_graphql.execution import SlicedExecutor

ENTRIES = 600
DOCUMENT = "{ entries { inner { values } innermost { inner { values } } } }"

MEMORY = Memory(*(Reservation(MemoryBudget(1), None) for _ in Memory._fields))


@strawberry.type
class Inner:
    @strawberry.field
    async def values(self) -> list[int]:
        await asyncio.sleep(0.01)
        return [1]


@strawberry.type
class Innermost:
    @strawberry.field
    async def inner(self) -> Inner:
        return Inner()


@strawberry.type
class Entry:
    @strawberry.field
    def inner(self) -> list[Inner]:
        return [Inner(), Inner()]

    @strawberry.field
    async def innermost(self) -> Innermost:
        return Innermost()


@strawberry.type
class Query:
    @strawberry.field
    def entries(self) -> list[Entry]:
        return [Entry() for _ in range(ENTRIES)]


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(), execution_context_class=SlicedExecutor)


@pytest.mark.parametrize("iterations", [2, 3, 4, 5])
async def test_no_coroutine_is_left_unawaited(iterations: int) -> None:
    context = Context(None, 100_000, MEMORY)  # type: ignore[arg-type]  # nothing is loaded
    with warnings.catch_warnings(record=True, action="always") as found:
        operation = asyncio.create_task(SCHEMA.execute(DOCUMENT, context_value=context))
        for _ in range(iterations):
            await asyncio.sleep(0)
        assert not operation.done()
        operation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await operation
        del operation
        gc.collect()
    # Sockets of other tests may be collected here, too.
    messages = [str(warning.message) for warning in found]
    assert [message for message in messages if "never awaited" in message] == []
