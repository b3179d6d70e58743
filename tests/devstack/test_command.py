import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from google.protobuf import json_format

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.ports import HOST, PortPlan

LAUNCH = (sys.executable, "-m", "kafka_facade", "dev")
SECONDS = 90


class Dev:
    """`kafka-facade dev` on free ports."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.ready_file = folder / "ready.json"
        self.ports = PortPlan.free()
        self.output = folder / "output.txt"
        base = ("--port-base", str(self.ports.rest), "--ready-file", str(self.ready_file))
        environment = {**os.environ, "TMPDIR": str(folder)}
        with self.output.open("w") as sink:
            self.process = subprocess.Popen(
                [*LAUNCH, *base, *options], stdout=sink, stderr=subprocess.PIPE, text=True, env=environment
            )

    def ready(self) -> dict[str, Any]:
        """Waits for the ready file and returns what it says."""

        def there() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return self.ready_file.exists()

        wait_until(there)
        document: dict[str, Any] = json.loads(self.ready_file.read_text())
        return document

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Sends the signal and returns the exit code and the standard error."""
        self.process.send_signal(number)
        return self.outcome()

    def outcome(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, errors


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def gone(pids: dict[str, int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids.values())


def put(servers: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": servers})
    producer.produce("kept", value)
    assert producer.flush(SECONDS) == 0


def first(servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        message = consumer.poll(SECONDS)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_the_whole_stack_answers_the_examples_that_it_prints(tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    told = dev.ready()
    assert set(told) == {"kafka", "schema_registry", "rest", "graphql", "grpc", "cluster_id", "pids"}
    lines = dev.output.read_text().splitlines()
    rest, graphql, grpcurl = [shlex.split(line) for line in lines if line.startswith(("  curl ", "  grpcurl "))]
    assert posted(rest)["topic_name"] == "demo"
    [result] = posted(graphql)["data"]["produceRecords"]["results"]
    assert result == {"report": {"partitionId": 0, "offset": 1}, "error": None}
    assert consumed(grpcurl) == [b'{"hello":"world"}', b'{"hello":"GraphQL"}']
    assert first(told["kafka"], "demo") == b'{"hello":"world"}'
    acls_lock_out_plain_clients_alone(told)
    assert dev.end(signal.SIGTERM) == (0, "")
    assert gone(told["pids"])


def acls_lock_out_plain_clients_alone(told: dict[str, Any]) -> None:
    """The example of the API reference, after which only super users have rights on the cluster."""
    acls = f"{told['rest']}/v3/clusters/{told['cluster_id']}/acls"
    common = {"pattern_type": "LITERAL", "principal": "principalType:principalName", "host": "*"}
    name = "kafka-cluster"
    entries = [
        {"resource_type": "CLUSTER", "resource_name": name, "operation": "DESCRIBE", "permission": "DENY", **common},
        {"resource_type": "TOPIC", "resource_name": name, "operation": "READ", "permission": "ALLOW", **common},
    ]
    everything = {"resource_type": "TOPIC", "resource_name": "*", "operation": "ALL", "permission": "DENY", **common}
    everything["principal"] = "User:ANONYMOUS"
    with httpx.Client(timeout=SECONDS, trust_env=False) as client:
        assert client.post(f"{acls}:batch", json={"data": [*entries, everything]}).status_code == 201
        assert len(client.get(acls).raise_for_status().json()["data"]) == 3
        schema = {"schema": '"string"'}
        client.post(f"{told['schema_registry']}/subjects/locked/versions", json=schema).raise_for_status()
        pattern = (ResourceType.TOPIC, "t", ResourcePatternType.LITERAL, "User:x", "*")
        acl = AclBinding(*pattern, AclOperation.READ, AclPermissionType.ALLOW)
        anonymous = AdminClient({"bootstrap.servers": told["kafka"]})
        [refused] = anonymous.create_acls([acl]).values()
        with pytest.raises(KafkaException) as caught:
            refused.result(SECONDS)
        assert caught.value.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED
    for pid in told["pids"].values():
        assert "sasl" not in " ".join(psutil.Process(pid).cmdline())


def posted(command: list[str]) -> Any:
    """Run a printed curl command and return the response."""
    header = command[command.index("-H") + 1].split(": ")
    data = command[command.index("--data") + 1]
    answer = httpx.post(command[-1], content=data, headers=dict([header]), timeout=SECONDS, trust_env=False)
    return answer.raise_for_status().json()


def consumed(command: list[str]) -> list[bytes]:
    """Run a printed grpcurl command and return the values of the records."""
    request = json_format.Parse(command[command.index("-d") + 1], record_pb2.ConsumeRequest())
    *_, address, method = command
    assert method == "kafka_facade.v1.RecordService/Consume"
    with grpc.insecure_channel(address) as channel:
        answers = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=SECONDS)
        return [record.value for answer in answers for record in answer.records]


def test_a_setting_that_the_gateway_refuses_is_named(tmp_path: Path) -> None:
    code, errors = Dev(tmp_path, "-p", "workers=many").outcome()
    assert code == 1
    assert errors.startswith("error: the gateway ended unexpectedly (exit code 1")
    assert "workers" in errors
    assert errors.count("\n") == 1


def test_kept_data_is_there_at_the_second_start_and_nothing_runs_after_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    dev = Dev(tmp_path, "--no-gateway", "--data-dir", str(folder))
    told = dev.ready()
    children = psutil.Process(dev.process.pid).children(recursive=True)
    assert {told["pids"]["Kafka broker 1"], told["pids"]["the Schema Registry"]} <= {child.pid for child in children}
    assert told["kafka"] == f"{HOST}:{dev.ports.kafka}"
    assert told["schema_registry"] == f"http://{HOST}:{dev.ports.registry}"
    put(told["kafka"], b"hello")
    assert dev.end(signal.SIGTERM) == (0, "")
    assert not dev.ready_file.exists()
    assert not any(child.is_running() for child in children)

    again = Dev(tmp_path, "--no-gateway", "--data-dir", str(folder))
    second = again.ready()
    assert second["cluster_id"] == told["cluster_id"]
    assert first(second["kafka"], "kept") == b"hello"

    (tmp_path / "intruder").mkdir()
    intruder = Dev(tmp_path / "intruder", "--no-gateway", "--data-dir", str(folder))
    code, errors = intruder.outcome()
    assert code == 1
    assert "is in use by another stack" in errors

    again.end(signal.SIGKILL)
    wait_until(lambda: gone(second["pids"]) and not again.ready_file.exists())


def test_a_killed_child_ends_the_stack_and_its_log_is_kept(tmp_path: Path) -> None:
    dev = Dev(tmp_path, "--no-gateway")
    told = dev.ready()
    os.kill(told["pids"]["Kafka broker 1"], signal.SIGKILL)
    code, errors = dev.outcome()
    assert code == 1
    assert errors.startswith("error: Kafka broker 1 ended unexpectedly (signal SIGKILL): its log is ")
    assert errors.count("\n") == 1
    log = Path(errors.strip().rpartition(" ")[2])
    assert "Kafka Server started" in log.read_text()
    assert gone(told["pids"])
    assert [path.name for path in log.parent.parent.iterdir()] == ["logs"]


def test_sigint_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    dev = Dev(tmp_path, "--no-gateway")
    parent = psutil.Process(dev.process.pid)
    wait_until(lambda: any("java" in child.name() for child in parent.children(recursive=True)))
    children = parent.children(recursive=True)
    assert dev.end(signal.SIGINT) == (0, "")
    assert not any(child.is_running() for child in children)
    assert not any(path.name.startswith("kafka-facade-") for path in tmp_path.iterdir())


def run(*options: str) -> tuple[int, str]:
    done = subprocess.run([*LAUNCH, *options], capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stderr


def test_the_error_for_a_port_in_use_is_one_line_with_a_remedy() -> None:
    ports = PortPlan.free()
    with socket.create_server((HOST, ports.kafka)):
        code, errors = run("--no-gateway", "--port-base", str(ports.rest))
    assert code == 1
    assert errors == (
        f"error: port {ports.kafka} (Kafka) on {HOST} is taken: stop the program that listens there, "
        "or move the whole stack with --port-base N\n"
    )


def test_a_data_folder_with_other_files_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    code, errors = run("--no-gateway", "--port-base", str(PortPlan.free().rest), "--data-dir", str(tmp_path))
    assert code == 1
    assert errors == f"error: {tmp_path} contains other files: name an empty or new folder with --data-dir\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_as_data_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    code, errors = run("--no-gateway", "--port-base", str(PortPlan.free().rest), "--data-dir", str(file))
    assert code == 1
    assert errors == f"error: can't use the data folder {file} (File exists): name another with --data-dir\n"


def test_errors_are_printed_verbatim(tmp_path: Path) -> None:
    ready = tmp_path / "none" / "[/x]"
    code, errors = run("--no-gateway", "--port-base", str(PortPlan.free().rest), "--ready-file", str(ready))
    assert code == 1
    assert errors == f"error: can't write --ready-file {ready} (No such file or directory): name another\n"


@pytest.mark.parametrize(
    "options", [("--brokers", "2"), ("--port-base", "1"), ("-p", "listeners=http://0.0.0.0:1"), ("-p", "novalue")]
)
def test_wrong_usage_is_exit_code_2(options: tuple[str, str]) -> None:
    code, errors = run(*options)
    assert code == 2
    assert "Traceback" not in errors
