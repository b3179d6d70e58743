"""A stack in a thread with a separate event loop, for tests, which are synchronous or use many loops."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from kafka_facade_devstack.gateway import PROGRAM, Gateway
from kafka_facade_devstack.ports import PortPlan
from kafka_facade_devstack.process import Start, start_program
from kafka_facade_devstack.stack import Stack

T = TypeVar("T")

_DEADLINE_SECONDS = 600


class BackgroundStack:
    """Runs `stack` in a daemon thread. The coroutines here may be awaited on any loop."""

    def __init__(self, brokers: int = 1, *, tls: Mapping[str, str] | None = None) -> None:
        self.stack = Stack(brokers, ports=PortPlan.free(), tls=tls)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"stack of {brokers}", daemon=True)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of every broker, comma-separated."""
        return self.stack.bootstrap_servers

    @property
    def schema_registry(self) -> str:
        """URL of the Schema Registry endpoint."""
        return self.stack.schema_registry

    @property
    def cluster_id(self) -> str:
        """Kafka's cluster id."""
        return self.stack.cluster_id

    @property
    def super_user(self) -> dict[str, str]:
        """Client settings of the super user."""
        return self.stack.super_user

    def start(self) -> None:
        """Blocks until the stack answers. Raises DevStackError."""
        self._thread.start()
        self.run(self.stack.start())

    def stop(self) -> None:
        """Stops the stack; blocks until all processes have ended."""
        self.run(self.stack.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the stack's loop and blocks for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_SECONDS)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the stack's loop and awaits its result on the caller's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def start_gateway(
        self,
        settings: Mapping[str, str],
        program: Sequence[str] = PROGRAM,
        *,
        answering: bool = True,
        start: Start = start_program,
    ) -> Gateway:
        """A started gateway on free ports, to be given back to `stop_gateway`. Raises DevStackError."""

        def new() -> Gateway:
            ports = PortPlan.free()
            return self.stack.new_gateway(ports.rest, ports.grpc, settings, program, start)

        return await self.call(self._started(new, answering))

    async def _started(self, new: Callable[[], Gateway], answering: bool) -> Gateway:
        gateway = new()
        try:
            await gateway.start(answering=answering)
        except BaseException:
            await gateway.stop()
            raise
        return gateway

    async def stop_gateway(self, gateway: Gateway) -> None:
        """SIGTERM, then SIGKILL if it takes too long."""
        await self.call(gateway.stop())

    async def kill_broker(self, index: int) -> None:
        """As `Stack.kill_broker`."""
        await self.call(self.stack.kill_broker(index))

    async def stop_broker(self, index: int) -> None:
        """As `Stack.stop_broker`."""
        await self.call(self.stack.stop_broker(index))

    async def start_broker(self, index: int) -> None:
        """As `Stack.start_broker`."""
        await self.call(self.stack.start_broker(index))

    async def pause_broker(self, index: int) -> None:
        """As `Stack.pause_broker`."""
        await self._soon(self.stack.pause_broker, index)

    async def resume_broker(self, index: int) -> None:
        """As `Stack.resume_broker`."""
        await self._soon(self.stack.resume_broker, index)

    async def heal(self) -> None:
        """Resumes and restarts the brokers that tests have paused, stopped or killed."""
        await self.call(self.stack.heal())

    def _soon(self, function: Callable[[int], None], index: int) -> Awaitable[None]:
        async def invoke() -> None:
            function(index)

        return self.call(invoke())
