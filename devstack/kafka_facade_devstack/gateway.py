"""The gateway as a child of the stack: `kafka-facade serve` with the stack's endpoints."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kafka_facade_devstack import probe
from kafka_facade_devstack.ports import HOST
from kafka_facade_devstack.process import Child, Start, Watchdog, start_program

PROGRAM = ("-m", "kafka_facade")
_READY_SECONDS = 180
_GRACE_SECONDS = 15


class Gateway:
    """A running gateway. `properties` are settings as `serve -p` takes them; its listeners come from the ports.

    `program` are the Python arguments that run `kafka-facade`.
    Secrets go into `environment`, because other users can see process arguments.
    """

    def __init__(
        self,
        rest_port: int,
        grpc_port: int,
        properties: Mapping[str, str],
        log: Path,
        watchdog: Watchdog,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
        start: Start = start_program,
    ) -> None:
        self._rest_port = rest_port
        self._grpc_port = grpc_port
        self.rest = f"http://{HOST}:{rest_port}"
        self.graphql = f"{self.rest}/graphql"
        self.grpc = f"{HOST}:{grpc_port}"
        settings = {"listeners": self.rest, "grpc.listeners": self.grpc, **properties}
        self._environment = environment
        options = [part for key, value in settings.items() for part in ("-p", f"{key}={value}")]
        self.child = Child("the gateway", [sys.executable, *program, "serve", *options], log, watchdog, start=start)

    async def start(self, *, answering: bool = True) -> None:
        """Starts it and waits until all three faces answer, or, without `answering`, until it listens.

        Raises DevStackError if it ends or takes too long.
        """
        await self.child.start(self._environment)
        await self.child.until(self.answers if answering else self._listens, _READY_SECONDS)

    async def answers(self) -> bool:
        """Whether REST lists clusters, GraphQL answers a query and gRPC reports SERVING."""
        return (
            await probe.accepts(self._rest_port)
            and await probe.get(self._rest_port, "/v3/clusters") is not None
            and await probe.post(self._rest_port, "/graphql", {"query": "{ __typename }"}) is not None
            and await probe.grpc_serving(self._grpc_port)
        )

    async def _listens(self) -> bool:
        return await probe.get(self._rest_port, "/") is not None and await probe.accepts(self._grpc_port)

    async def stop(self) -> None:
        """Stops it with SIGTERM, and SIGKILL after a grace period."""
        await self.child.stop(_GRACE_SECONDS)
