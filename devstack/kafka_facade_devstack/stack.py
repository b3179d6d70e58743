"""The stack itself: Kafka, the Schema Registry and the gateway, started and stopped in order. Used by tests as well."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kafka_facade_devstack import artifacts, probe
from kafka_facade_devstack.class_archive import ClassArchive
from kafka_facade_devstack.data import StackFolder
from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.gateway import PROGRAM, Gateway
from kafka_facade_devstack.java import find_java
from kafka_facade_devstack.kafka_node import SIZES, SIZES_TEXT, ClusterLayout, KafkaNode
from kafka_facade_devstack.ports import HOST, PortPlan, check_free
from kafka_facade_devstack.process import Child, Start, Watchdog, start_program
from kafka_facade_devstack.registry import KAFKA_SETTINGS

_SETTING = "KAFKA_REST_"
# Minutes, for busy machines; a process that ends is detected at once.
_KAFKA_READY_SECONDS = 240
_REGISTRY_READY_SECONDS = 120
_REGISTRY_GRACE_SECONDS = 5
_KEPT_GRACE_SECONDS = 15
_TEMPORARY_GRACE_SECONDS = 3


class Stack:
    """One stack. `gateway` holds the gateway's settings beyond the endpoints; None leaves the gateway out.

    `tls` holds the `ssl.*` settings of a listener with TLS and SASL; None leaves that out.
    `say` is told each step in a few words, `progress` the bytes of Kafka's jars as they arrive.
    """

    def __init__(
        self,
        brokers: int = 1,
        *,
        ports: PortPlan | None = None,
        data_dir: Path | None = None,
        gateway: Mapping[str, str] | None = None,
        tls: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
        progress: artifacts.Progress = lambda _: None,
    ) -> None:
        if brokers not in SIZES:
            raise DevStackError(f"{brokers} brokers: expected {SIZES_TEXT}")
        self.brokers = brokers
        self.ports = ports or PortPlan()
        self.gateway: Gateway | None = None
        self._gateway_settings = gateway
        self._tls = tls
        self._data_dir = data_dir
        self._say = say
        self._progress = progress
        self._nodes: list[KafkaNode] = []
        self._registry: Child | None = None
        self._layout: ClusterLayout | None = None
        self._folder: StackFolder | None = None
        self._archiving: asyncio.Task[None] | None = None
        self.watchdog = Watchdog()

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of every broker, comma-separated."""
        return self._started.bootstrap_servers

    @property
    def cluster_id(self) -> str:
        """Kafka's cluster id."""
        return self._started.cluster_id

    @property
    def schema_registry(self) -> str:
        """URL of the Schema Registry endpoint."""
        return f"http://{HOST}:{self.ports.registry}"

    @property
    def logs(self) -> Path:
        """Folder with a log file for each child."""
        if self._folder is None:
            raise DevStackError("the stack is not started")
        return self._folder.logs

    @property
    def super_user(self) -> dict[str, str]:
        """Client settings of the super user, which no ACL can lock out."""
        internal = (f"{HOST}:{self.ports.internal + index}" for index in range(self.brokers))
        return {
            "bootstrap.servers": ",".join(internal),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "broker",
            "sasl.password": self._started.password,
        }

    def endpoints(self) -> dict[str, Any]:
        """The content of the ready file: endpoints, cluster id and process ids."""
        found: dict[str, Any] = {"kafka": self.bootstrap_servers, "schema_registry": self.schema_registry}
        if self.gateway is not None:
            found |= {"rest": self.gateway.rest, "graphql": self.gateway.graphql, "grpc": self.gateway.grpc}
        pids = {child.name: child.pid for child in self._children() if child.running}
        return {**found, "cluster_id": self.cluster_id, "pids": pids}

    async def start(self) -> None:
        """Starts everything and returns once all of it answers; on failure or cancellation nothing is left running."""
        try:
            await self._start()
        except OSError as error:
            await self.stop(keep_logs=True)
            raise DevStackError(f"can't start: {error.strerror or error} ({error.filename or 'no file'})") from error
        except DevStackError:
            await self.stop(keep_logs=True)
            raise
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        wanted = {self.ports.registry: "Schema Registry", **self.ports.of_kafka(self.brokers)}
        if self._gateway_settings is not None:
            wanted |= {self.ports.rest: "REST and GraphQL", self.ports.grpc: "gRPC"}
        check_free(wanted)
        java = await find_java()
        class_path = await artifacts.fetch(artifacts.load_lock(), artifacts.cache_dir(), self._progress)
        self._folder = StackFolder.open(self._data_dir, self.brokers)
        await self.watchdog.start()
        if self._folder.temporary:
            self.watchdog.guard(str(self._folder.path))
        archive = ClassArchive(artifacts.cache_dir().with_name("classes"), java, class_path)
        password = secrets.token_hex(16)
        self._layout = ClusterLayout(
            self.brokers, self._folder.cluster_id, self.ports, password, java, archive.options, class_path, self._tls
        )
        await self._start_kafka(self._folder)
        await self._start_registry(self._folder)
        if self._gateway_settings is not None:
            self._say("starting the gateway")
            self.gateway = self._as_super_user(self._gateway_settings)
            await self.gateway.start()
        build = archive.build(self._nodes[0].child.pid, self.logs / "class-archive.log", self.watchdog)
        self._archiving = asyncio.create_task(build, name="class archive")

    def new_gateway(
        self,
        rest_port: int,
        grpc_port: int,
        settings: Mapping[str, str],
        program: Sequence[str] = PROGRAM,
        start: Start = start_program,
    ) -> Gateway:
        """A gateway on this stack, not yet started; the caller stops it, and before the stack."""
        endpoints = {"bootstrap.servers": self.bootstrap_servers, "schema.registry.url": self.schema_registry}
        log = self.logs / f"gateway-{rest_port}.log"
        # An earlier gateway may have had the same port.
        log.unlink(missing_ok=True)
        return Gateway(
            rest_port, grpc_port, {**endpoints, **settings}, log, self.watchdog, program=program, start=start
        )

    def _as_super_user(self, settings: Mapping[str, str]) -> Gateway:
        """The stack's own gateway: ACLs that are made through it cannot lock it out."""
        login = dict(self.super_user)
        endpoints = {"bootstrap.servers": login.pop("bootstrap.servers"), "schema.registry.url": self.schema_registry}
        environment = {f"{_SETTING}CLIENT_{name.replace('.', '_').upper()}": value for name, value in login.items()}
        log = self.logs / f"gateway-{self.ports.rest}.log"
        ports = self.ports.rest, self.ports.grpc
        return Gateway(*ports, {**endpoints, **settings}, log, self.watchdog, environment)

    async def _start_kafka(self, folder: StackFolder) -> None:
        noun = "broker" if self.brokers == 1 else "brokers"
        self._say(f"starting Kafka, {self.brokers} {noun}")
        self._nodes = [
            KafkaNode(self._started, index, folder.node(index), folder.logs, self.watchdog)
            for index in range(self.brokers)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for node in self._nodes:
                    group.create_task(node.prepare())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        for node in self._nodes:
            await node.start()

    async def _start_registry(self, folder: StackFolder) -> None:
        command = [sys.executable, "-m", "kafka_facade_devstack.registry", str(self.ports.registry)]
        self._registry = Child("the Schema Registry", command, folder.logs / "registry.log", self.watchdog)
        # Start it together with Kafka: its imports take as long as Kafka's start, and it waits for Kafka.
        await self._registry.start({KAFKA_SETTINGS: json.dumps(self.super_user)})
        await self._kafka_answers()
        self._say("starting the Schema Registry")
        await self._registry.until(partial(self._registry_answers), _REGISTRY_READY_SECONDS)

    async def _registry_answers(self) -> bool:
        port = self.ports.registry
        return await probe.accepts(port) and await probe.get(port, "/subjects") is not None

    async def _kafka_answers(self) -> None:
        for node in self._nodes:
            if node.child.running:
                port = self.ports.kafka + node.index
                await node.child.until(partial(probe.accepts, port), _KAFKA_READY_SECONDS)
        running = sum(node.child.running for node in self._nodes)
        for node in self._nodes:
            if node.child.running:
                server = f"{HOST}:{self.ports.kafka + node.index}"
                await node.child.until(partial(probe.kafka, server, running), _KAFKA_READY_SECONDS)

    async def failure(self) -> DevStackError:
        """Waits until a child ends unexpectedly, and returns which one and the path of its log."""
        died = [child.died for child in self._children()]
        done, _ = await asyncio.wait(died, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def kill_broker(self, index: int) -> None:
        """SIGKILL to broker `index` (from 0), as a crash of its machine; returns once it has ended."""
        await self._nodes[index].child.stop(0)

    async def stop_broker(self, index: int) -> None:
        """An orderly stop of broker `index` (from 0)."""
        await self._nodes[index].child.stop(_KEPT_GRACE_SECONDS)

    async def start_broker(self, index: int) -> None:
        """Starts broker `index` again on its data and port; returns once it is back in the cluster."""
        await self._nodes[index].start()
        await self._kafka_answers()

    def pause_broker(self, index: int) -> None:
        """SIGSTOP to broker `index`: its connections stay open and nothing answers."""
        self._nodes[index].child.pause()

    def resume_broker(self, index: int) -> None:
        """Resumes a paused broker."""
        self._nodes[index].child.send(signal.SIGCONT)

    async def heal(self) -> None:
        """Resumes what is paused and starts what has ended; returns once every broker is in the cluster."""
        for node in self._nodes:
            if node.child.running:
                node.child.send(signal.SIGCONT)
            else:
                await node.start()
        await self._kafka_answers()

    def kill(self) -> None:
        """Sends SIGKILL to all processes, so that `stop` does not wait."""
        for child in self._children():
            if child.running:
                child.send(signal.SIGKILL)

    async def stop(self, *, keep_logs: bool = False) -> None:
        """Stops the gateway, the registry, then the brokers; removes temporary data (`keep_logs`: not the logs)."""
        if self._archiving is not None:
            self._archiving.cancel()
            await asyncio.wait((self._archiving,))
        if self.gateway is not None:
            await self.gateway.stop()
        if self._registry is not None:
            await self._registry.stop(_REGISTRY_GRACE_SECONDS)
        folder = self._folder
        grace = _TEMPORARY_GRACE_SECONDS if folder is not None and folder.temporary else _KEPT_GRACE_SECONDS
        await asyncio.gather(*(node.child.stop(grace) for node in self._nodes))
        if folder is not None:
            await asyncio.to_thread(partial(folder.close, keep_logs=keep_logs))
            self.watchdog.forget(str(folder.path))
        await self.watchdog.stop()

    @property
    def _started(self) -> ClusterLayout:
        if self._layout is None:
            raise DevStackError("the stack is not started")
        return self._layout

    def _children(self) -> list[Child]:
        gateway = [self.gateway.child] if self.gateway is not None else []
        registry = [self._registry] if self._registry is not None else []
        return [*gateway, *registry, *(node.child for node in self._nodes)]
