"""One KRaft node of the stack: its settings, its format, its process.

The first three are brokers and controllers, a fourth one is a broker only.

Listeners: CLIENT is PLAINTEXT, so clients are User:ANONYMOUS and subject to the StandardAuthorizer;
INTERNAL and CONTROLLER authenticate with SASL, the nodes with PLAIN as User:broker, the only super user, so that no ACL
can lock them out. INTERNAL also accepts SCRAM users, if tests create them. The optional SECURE is the same as INTERNAL
over TLS.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.ports import HOST, PortPlan
from kafka_facade_devstack.process import Child, Watchdog

_FORMAT_SECONDS = 180
SUPER_USER = "broker"
SIZES = (1, 3, 4)
"""The possible numbers of brokers."""
SIZES_TEXT = "1, 3 or 4"
_CONTROLLERS = 3
_SASL = "SASL_PLAINTEXT"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """What all nodes of one cluster share."""

    brokers: int
    cluster_id: str
    ports: PortPlan
    password: str
    java: Path
    jvm_options: Sequence[str]
    class_path: Sequence[Path]
    tls: Mapping[str, str] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of each broker's CLIENT listener, comma-separated."""
        return ",".join(f"{HOST}:{self.ports.kafka + index}" for index in range(self.brokers))

    def properties(self, index: int, log_dir: Path) -> dict[str, str]:
        """The `server.properties` of node `index` (from 0; its node.id is one more)."""
        replicas = min(3, self.brokers)
        in_sync = 2 if replicas == 3 else 1
        jaas = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'username="{SUPER_USER}" password="{self.password}" user_{SUPER_USER}="{self.password}";'
        )
        controllers = range(min(_CONTROLLERS, self.brokers))
        voters = ",".join(f"{node + 1}@{HOST}:{self.ports.controller + node}" for node in controllers)
        clients = f"CLIENT://{HOST}:{self.ports.kafka + index},INTERNAL://{HOST}:{self.ports.internal + index}"
        if self.tls is not None:
            clients += f",SECURE://{HOST}:{self.ports.secure + index}"
        controller = f",CONTROLLER://{HOST}:{self.ports.controller + index}" if index in controllers else ""
        protocols = {"CLIENT": "PLAINTEXT", "INTERNAL": _SASL, "CONTROLLER": _SASL, "SECURE": "SASL_SSL"}
        return {
            "process.roles": "broker,controller" if controller else "broker",
            "node.id": str(index + 1),
            "broker.rack": f"rack-{index + 1}",
            "log.dirs": str(log_dir),
            "listeners": clients + controller,
            "advertised.listeners": clients,
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "inter.broker.listener.name": "INTERNAL",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": voters,
            "sasl.enabled.mechanisms": "PLAIN",
            **self._sasl("internal", jaas),
            **({} if self.tls is None else self._sasl("secure", jaas)),
            **{f"listener.name.secure.{name}": value for name, value in (self.tls or {}).items()},
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": jaas,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": f"User:{SUPER_USER}",
            "auto.create.topics.enable": "true",
            "num.partitions": "1",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
            # Detect one of several dead brokers sooner than by default; never fence a single one on a busy machine.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "4000" if replicas == 3 else "18000",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
        }

    @staticmethod
    def _sasl(listener: str, jaas: str) -> dict[str, str]:
        prefix = f"listener.name.{listener}"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            f"{prefix}.sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM)),
            f"{prefix}.plain.sasl.jaas.config": jaas,
            **{f"{prefix}.{mechanism.lower()}.sasl.jaas.config": scram for mechanism in _SCRAM},
        }


class KafkaNode:
    """Node `index` of a cluster (from 0), with its files under `folder` and its logs under `logs`."""

    def __init__(self, layout: ClusterLayout, index: int, folder: Path, logs: Path, watchdog: Watchdog) -> None:
        self.index = index
        self._layout = layout
        self._data = folder / "data"
        self._config = folder / "server.properties"
        self._temporary = folder / "tmp"
        self._log4j = folder / "log4j2.properties"
        self._log = logs / f"broker-{index + 1}.log"
        self._watchdog = watchdog
        self.child = self._new_child()

    async def prepare(self) -> None:
        """Writes the settings, and formats a new data folder for the cluster's id."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        self._log4j.write_text(_LOG4J, encoding="utf-8")
        self._config.touch(mode=0o600)
        settings = self._layout.properties(self.index, self._data)
        self._config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        if not (self._data / "meta.properties").exists():
            await self._format()

    async def start(self) -> None:
        """Starts or restarts the process on its data and ports; it answers some seconds later."""
        if self.child.running:
            raise DevStackError(f"{self.child.name} is still running")
        self.child = self._new_child()
        await self.child.start()

    def _new_child(self) -> Child:
        command = self._java("kafka.Kafka", self._config)
        # The JVM writes an output file to its working folder when it creates a class archive.
        return Child(f"Kafka broker {self.index + 1}", command, self._log, self._watchdog, self._temporary)

    def _java(self, *main: str | Path) -> list[str | Path]:
        return [
            self._layout.java,
            *self._layout.jvm_options,
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={self._temporary}",
            f"-Dlog4j2.configurationFile={self._log4j}",
            "-cp",
            os.pathsep.join(map(str, self._layout.class_path)),
            *main,
        ]

    async def _format(self) -> None:
        format_ = ("kafka.tools.StorageTool", "format", "-t", self._layout.cluster_id, "-c", self._config)
        tool = Child(f"the format of Kafka broker {self.index + 1}", self._java(*format_), self._log, self._watchdog)
        if await tool.run(_FORMAT_SECONDS) != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise DevStackError(f"{tool.name} failed: its log is {self._log}")
