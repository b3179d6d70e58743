"""Slots: each is held by one worker, and none is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.instances.placement import slot_of
from kafka_facade.peers.slots import Slots

CLAIMS = 100


def slots(directory: Path, name: str, count: int = 3) -> Slots:
    return Slots(directory, count, directory / name)


def held(worker: Slots) -> set[int]:
    return {slot for slot in range(worker.count) if worker.holds(slot)}


def test_each_worker_takes_one(tmp_path: Path) -> None:
    workers = [slots(tmp_path, name) for name in "abcd"]
    for worker in workers:
        worker.claim()
        worker.claim()
    assert [held(worker) for worker in workers] == [{0}, {1}, {2}, set()]


def test_one_at_first_then_what_nobody_takes(tmp_path: Path) -> None:
    first = slots(tmp_path, "a")
    first.claim()
    assert held(first) == {0}
    second = slots(tmp_path, "b")
    second.claim()
    assert held(second) == {1}
    for _ in range(CLAIMS):
        first.claim()
    assert held(first) == {0, 2}
    assert (tmp_path / "2.sock").readlink() == tmp_path / "a"
    first.release()
    for _ in range(CLAIMS):
        second.claim()
    assert held(second) == {0, 1, 2}
    assert {(tmp_path / f"{slot}.sock").readlink() for slot in range(3)} == {tmp_path / "b"}


def test_files_that_were_cleaned_away(tmp_path: Path) -> None:
    first, second = slots(tmp_path, "a", 2), slots(tmp_path, "b", 2)
    first.claim()
    second.claim()
    assert (held(first), held(second)) == ({0}, {1})
    for file in tmp_path.iterdir():
        file.unlink()
    for worker in (first, second, first, second):
        worker.claim()
        assert not held(first) & held(second)
    assert held(first) | held(second) == {0, 1}
    assert {(tmp_path / f"{slot}.sock").readlink() for slot in (0, 1)} == {tmp_path / "a", tmp_path / "b"}


def test_files_stay_young(tmp_path: Path) -> None:
    worker = slots(tmp_path, "a", 1)
    worker.claim()
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0), follow_symlinks=False)
    worker.claim()
    assert all(file.lstat().st_mtime > 0 for file in tmp_path.iterdir())


DIES = """
import sys
from pathlib import Path
from kafka_facade.peers.slots import Slots

directory = Path(sys.argv[1])
Slots(directory, 1, directory / "dead").claim()
"""


def test_the_slot_of_a_dead_process_is_free(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=True, timeout=30)
    assert (tmp_path / "0.sock").readlink() == tmp_path / "dead"
    worker = slots(tmp_path, "next", 1)
    worker.claim()
    assert held(worker) == {0}
    assert (tmp_path / "0.sock").readlink() == tmp_path / "next"


@given(st.text(), st.text(), st.integers(1, 300))
def test_an_instance_has_a_slot(group: str, instance: str, count: int) -> None:
    assert 0 <= slot_of(group, instance, count) < count
    assert slot_of(group, instance, count) == slot_of(group, instance, count)


@pytest.mark.parametrize("count", [2, 3, 16])
def test_instances_spread(count: int) -> None:
    found = [slot_of("group", f"instance-{number}", count) for number in range(1000)]
    assert all(found.count(slot) > 1000 / count / 2 for slot in range(count))


def test_group_and_instance_are_told_apart() -> None:
    assert len({slot_of("a b", "c", 2**30), slot_of("a", "b c", 2**30)}) == 2
