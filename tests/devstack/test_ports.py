import itertools
import socket
import subprocess
import sys

import pytest

from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.ports import HOST, PortPlan, check_free, is_free


def test_default_ports() -> None:
    plan = PortPlan()
    assert (plan.rest, plan.grpc, plan.registry) == (8082, 50051, 8081)
    assert [port for port, name in plan.of_kafka(3).items() if name == "Kafka"] == [9092, 9093, 9094]


@pytest.mark.parametrize("plan", [PortPlan(), PortPlan.from_base(21_000)])
def test_no_port_is_given_twice(plan: PortPlan) -> None:
    assert len({plan.rest, plan.grpc, plan.registry, *plan.of_kafka(3)}) == 3 + 3 * 3


@pytest.mark.parametrize("base", [0, 80, 65_530, 70_000])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(DevStackError, match="--port-base"):
        PortPlan.from_base(base)


def test_a_port_in_use_is_named_with_its_purpose() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(DevStackError, match=rf"^port {port} \(REST\) on 127\.0\.0\.1 is taken: .*--port-base"):
            check_free({port: "REST"})
    assert is_free(port)


def _run_python(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"from kafka_facade_devstack.ports import PortPlan\n{code}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_concurrent_plans_have_no_port_in_common() -> None:
    many = "for _ in range(16): print(PortPlan.free().rest, flush=True)\ninput()"
    started = [_run_python(many) for _ in range(2)]
    try:
        bases = sorted(int(line) for process in started for line in itertools.islice(process.stdout or (), 16))
        assert len(bases) == 32
        assert all(second - first > 42 for first, second in itertools.pairwise(bases))
    finally:
        for process in started:
            process.communicate("\n")
